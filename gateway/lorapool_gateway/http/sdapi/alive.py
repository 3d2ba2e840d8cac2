"""What clients of A1111's WebUI ask for outside of its API, to see whether somebody is there."""

from fastapi import APIRouter

from lorapool_gateway.http.sdapi import described


def routes() -> APIRouter:
    """`/queue/status` is that of the WebUI's own pages; a plug-in of Krita that gets none takes the server for gone."""
    router = APIRouter()
    alive = described.open_to_all("Whether the gateway is there.")

    @router.api_route("/queue/status", methods=["GET", "HEAD"], openapi_extra=alive)
    async def status() -> dict[str, str]:
        return {"msg": "estimation"}

    return router
