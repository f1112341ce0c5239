"""Errors of this package, split by whose fault it is."""


class OtaError(Exception):
    """Base of all errors of this package: a sentence for the person at the command line."""


class SigningError(OtaError):
    """A key file that is missing, damaged, in use by another process, or used up."""


class ImageError(OtaError):
    """Files that make no image, or an image that is none."""
