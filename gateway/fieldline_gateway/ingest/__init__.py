"""The rules between a link and the store: who may speak, what is new, what is answered."""
