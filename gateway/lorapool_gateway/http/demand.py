"""The routes that say how many requests want a pool: for the operator, and for KEDA's scaler `metrics-api`."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from lorapool_api.names import full_name
from lorapool_gateway.serve.demand import DemandReporter


def routes(reporter: DemandReporter) -> APIRouter:
    """Beside metrics, which say the same, and as open as those."""
    router = APIRouter()

    @router.get("/v1/demand")
    async def everything() -> Response:
        return Response(reporter.report().model_dump_json(), media_type="application/json")

    @router.get("/v1/pools/{namespace}/{name}/demand")
    async def of_pool(namespace: str, name: str) -> Response:
        found = reporter.of_pool(full_name(namespace, name))
        if found is None:
            return JSONResponse({"error": f"there is no pool {full_name(namespace, name)[:320]}"}, 404)
        return Response(found.model_dump_json(), media_type="application/json")

    return router
