"""What can go wrong with pictures that are signed or read."""

from lorapool_gateway.errors import GatewayError


class PictureNotSigned(GatewayError):
    """A picture that is to be signed could not be, and does not leave without."""

    transient = True


class PictureNotRead(GatewayError):
    """What reads pictures that somebody asks about did not answer."""

    transient = True
