"""What clients of A1111's WebUI ask for outside of its API, to see whether somebody is there."""

from fastapi import APIRouter


def routes() -> APIRouter:
    """`/queue/status` is that of the WebUI's own pages; a plug-in of Krita that gets none takes the server for gone."""
    router = APIRouter()

    @router.api_route("/queue/status", methods=["GET", "HEAD"], include_in_schema=False)
    async def status() -> dict[str, str]:
        return {"msg": "estimation"}

    return router
