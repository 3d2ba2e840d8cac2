"""What can go wrong while a plane is brought up, for a person to read."""


class LocalError(Exception):
    """The root of this package's errors: the message says what to do."""


class BinariesUnavailable(LocalError):
    """A program of the control plane was neither found nor could it be fetched or built."""


class PlaneFailed(LocalError):
    """The plane did not come up, or a part of it died too often."""


class PlaneAlreadyRunning(LocalError):
    """Another supervisor holds this state folder."""


class PlaneNotRunning(LocalError):
    """No supervisor holds this state folder."""


class NoLoopbackSubnet(LocalError):
    """Every /16 of 127.0.0.0/8 that was tried belongs to another plane."""
