"""Updates of nodes at the gateway: releases from a TUF repository, offers from the token service, chunks to nodes."""
