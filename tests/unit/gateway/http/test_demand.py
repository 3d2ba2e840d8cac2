"""What the operator, and KEDA's scaler `metrics-api`, read."""

import asyncio

import httpx
from fastapi import FastAPI
from tests.unit.gateway.fakes import World
from tests.unit.gateway.serve.asked import BASE
from tests.waiting import until

from lorapool_api.wire.gateways.demand import GatewayDemand
from lorapool_gateway.http import demand


def client(world: World) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(demand.routes(world.demand))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway")


async def test_a_pools_demand_is_a_number_of_its_own_address(world: World) -> None:
    held = [asyncio.create_task(world.proxy.generate(BASE)) for _ in range(2)]
    async with client(world) as http:
        await until(lambda: world.demand.report().pools, "they are held")
        reply = await http.get("/v1/pools/default/shapes/demand")
        assert (reply.status_code, reply.json()) == (200, {"waiting": 2, "running": 0, "demand": 2})
        everything = GatewayDemand.model_validate_json((await http.get("/v1/demand")).content)
        assert everything.pools["default/shapes"].demand == 2
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)


async def test_a_pool_that_nobody_asks_is_told_as_nought_and_one_that_is_not_there_as_missing(world: World) -> None:
    async with client(world) as http:
        assert (await http.get("/v1/pools/default/shapes/demand")).json()["demand"] == 0
        missing = await http.get("/v1/pools/default/nothing/demand")
    assert (missing.status_code, missing.json()) == (404, {"error": "there is no pool default/nothing"})
