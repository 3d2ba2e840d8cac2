"""The `Accept` header (RFC 9110, 12.5.1)."""


def media_ranges(accept: str) -> list[tuple[str, float]]:
    """Each media range in lower case and its weight from 0 to 1, as they stand; an unreadable weight counts as 0."""
    return [
        (kind.strip().lower(), _weight(parameters))
        for kind, *parameters in (part.split(";") for part in accept.split(",") if part.strip())
    ]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(max(0.0, float(value)), 1.0)
            except ValueError:
                return 0.0
    return 1.0
