"""`lorapool gateway`: watches, polls and serves until it is told to stop."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Final, Protocol

import structlog
import uvloop
from fastapi import FastAPI
from pydantic import ValidationError

from lorapool_api.names import GATEWAY, split_full_name
from lorapool_common import logs
from lorapool_common.collector import spare_the_collector
from lorapool_common.http.certificate import CertificateError, ServerCertificate
from lorapool_common.http.listening import bound_socket, listen_host
from lorapool_common.http.server import Server
from lorapool_common.kube.client import Kube
from lorapool_common.kube.errors import AccessError
from lorapool_common.kube.reflector import ListerWatcher, Reflector
from lorapool_common.malloc import give_back_large_blocks, share_one_heap
from lorapool_common.observe.tracing import NO_TRACING, Tracing, tracing_for
from lorapool_common.process import CannotStart, Process
from lorapool_common.process import run as run_process
from lorapool_common.signed.keys import KeyUnusable
from lorapool_common.signed.renewed import RenewedKeys, RenewedSigner, RenewedVerifier
from lorapool_common.supervision import Supervisor
from lorapool_gateway.callers.budgets import KeyBudgets
from lorapool_gateway.cluster.directory import Directory
from lorapool_gateway.cluster.gateways import ReadyGateways, slices_of
from lorapool_gateway.cluster.watcher import Watcher
from lorapool_gateway.held import Bodies
from lorapool_gateway.http import demand
from lorapool_gateway.http.app import health_app, inference_app
from lorapool_gateway.http.background.routes import BackgroundService
from lorapool_gateway.http.gate import Gate
from lorapool_gateway.http.kept.passing import peer_routes
from lorapool_gateway.http.keys import ApiKeys
from lorapool_gateway.http.openai.files import ImageFiles
from lorapool_gateway.kept.ids import Ids
from lorapool_gateway.kept.kept import Kept
from lorapool_gateway.kept.peers import OtherGateways
from lorapool_gateway.metrics import Metrics
from lorapool_gateway.pods.client import PodClient
from lorapool_gateway.pods.load import Loads
from lorapool_gateway.pods.poller import Poller, Statuses
from lorapool_gateway.provenance.certificates import ContentKeys, SigningKeyUnusable
from lorapool_gateway.provenance.reader import PictureReader
from lorapool_gateway.provenance.signer import PictureSigner
from lorapool_gateway.routing.route import ChoosePod, pick_pod
from lorapool_gateway.serve.demand import DemandReporter, RequestCounts
from lorapool_gateway.serve.hold import Hold
from lorapool_gateway.serve.image_service import ImageService
from lorapool_gateway.serve.proxy import Proxy, Renders
from lorapool_gateway.serve.signing import PictureSigning
from lorapool_gateway.settings import Settings
from lorapool_gateway.spool.body import Spool
from lorapool_gateway.spool.disk import Disk
from lorapool_gateway.spool.pictures import StoredPictures

log = structlog.get_logger(__name__)

_COMMAND: Final = "lorapool gateway"
_HEALTH_END_S: Final = 1.0
# Of `gc.set_threshold`: a request makes some thousand objects, few of them in cycles.
_COLLECTED_AT: Final = (50_000, 10, 100)


def command() -> None:
    """Serve images from the pools of this cluster; settings are environment variables LORAPOOL_*."""
    serve()


def serve(choose: ChoosePod = pick_pod) -> None:
    """The command, with another way to choose a pod where one is compared with it."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(f"{_COMMAND}: {error}")
    logs.configure(settings.log_level)
    give_back_large_blocks()
    share_one_heap()
    run_process(_COMMAND, lambda process: run(settings, process, choose), loop=uvloop.new_event_loop)


async def run(settings: Settings, process: Process, choose: ChoosePod = pick_pod) -> None:
    """Serve until the process is to stop; then end what runs, within the grace period. Raises: CannotStart."""
    async with AsyncExitStack() as resources:
        try:
            metrics = Metrics()
            kube = await resources.enter_async_context(await Kube.connect(observe=metrics.api.observe))
        except AccessError as error:
            raise CannotStart(str(error)) from error
        tracing = tracing_for("lorapool-gateway", settings.otlp_endpoint)
        resources.push_async_callback(asyncio.to_thread, tracing.close)
        secrets, signer = _secrets(settings)
        stored = StoredPictures()
        client = PodClient(tracing=tracing, signer=signer, stored=stored)
        pods = await resources.enter_async_context(client)
        peers = None
        if secrets is not None and signer is not None:
            peers = await resources.enter_async_context(OtherGateways(signer, secrets.current))
        pictures = await _pictures(settings, resources)
        await Gateway(settings, kube, pods, process, metrics, tracing, stored, secrets, peers, pictures, choose).run()


def _certificate(settings: Settings) -> ServerCertificate | None:
    if settings.tls_dir is None:
        return None
    try:
        return ServerCertificate(settings.tls_dir)
    except CertificateError as error:
        raise CannotStart(str(error)) from error


def _secrets(settings: Settings) -> tuple[RenewedKeys | None, RenewedSigner | None]:
    """What all gateways have, and what signs with it. Raises: CannotStart."""
    if settings.key_file is None:
        return None, None
    try:
        return RenewedKeys(settings.key_file), RenewedSigner(settings.key_file, GATEWAY)
    except KeyUnusable as error:
        raise CannotStart(f"{error}; see LORAPOOL_KEY_FILE") from error


async def _pictures(settings: Settings, resources: AsyncExitStack) -> tuple[PictureSigner | None, PictureReader]:
    """What signs pictures, where there is a key, and what reads them. Raises: CannotStart."""
    folder = settings.content_credentials_dir
    try:
        keys = None if folder is None else ContentKeys(folder)
    except SigningKeyUnusable as error:
        raise CannotStart(f"{error}; see LORAPOOL_CONTENT_CREDENTIALS_DIR") from error
    reader = PictureReader(keys)
    resources.callback(reader.close)
    if keys is None:
        return None, reader
    signer = PictureSigner(keys)
    resources.callback(signer.close)
    await signer.try_out()
    return signer, reader


def _gateways_watch(kube: ListerWatcher, service: str | None, gateways: ReadyGateways) -> Reflector | None:
    return None if service is None else Reflector(kube, slices_of(*split_full_name(service)), gateways)


class Pods(Statuses, Renders, Protocol):
    """What a gateway asks of pods."""


class Gateway:
    """All parts of a gateway, put together."""

    def __init__(
        self,
        settings: Settings,
        kube: ListerWatcher,
        pods: Pods,
        process: Supervisor,
        metrics: Metrics | None = None,
        tracing: Tracing = NO_TRACING,
        stored: StoredPictures | None = None,
        secrets: RenewedKeys | None = None,
        peers: OtherGateways | None = None,
        pictures: tuple[PictureSigner | None, PictureReader | None] = (None, None),
        choose: ChoosePod = pick_pod,
    ) -> None:
        """
        Args:
            stored: pictures in files, where `pods` looks for them.
            secrets, peers: what all gateways have, and the others, for what these keep; None: no other is known.
            pictures: what signs them, and what reads those that somebody asks about.
        """
        self._settings = settings
        self._process = process
        self._takes_none = asyncio.Event()
        metrics = metrics or Metrics()
        directory = Directory()
        loads = Loads(directory.changes)
        self._watcher = Watcher(kube, directory, settings.namespaces or (None,))
        self._poller = Poller(directory, loads, pods)
        counts = RequestCounts(metrics)
        self._signer, reader = pictures
        signing = PictureSigning(self._signer)
        hold = Hold(directory, loads, counts, choose=choose)
        proxy = Proxy(hold, loads, pods, metrics, counts, self._poller.refresh, tracing, signing)
        service = ImageService(directory, self._watcher.synced, proxy, metrics)
        disk = Disk(settings.spool_dir, settings.max_spooled_bytes) if settings.spool_dir else None
        spool = Spool(Bodies(settings.max_held_bytes), disk, stored)
        gateways = ReadyGateways()
        self._gateways = _gateways_watch(kube, settings.service, gateways)
        budgets = KeyBudgets(lambda: gateways.count)
        metrics.share_among(lambda: gateways.count)
        keys = ApiKeys(settings.api_keys_dir)
        gate = Gate(service, keys, metrics, settings.max_body_bytes, spool, tracing, budgets)
        ids = Ids(secrets.current if secrets else None, settings.pod_ip, settings.health_port)
        self._kept = kept = Kept(
            ids, keep_s=settings.keep_seconds, max_bytes=settings.max_kept_bytes, metrics=metrics.kept
        )
        inference = inference_app(gate, settings.cors_origins, kept, peers, reader, settings.public_url)
        self._inference = self._server(inference, settings.http_port, _certificate(settings))
        health = health_app(metrics, self._watcher.synced, self._takes_none)
        health.include_router(demand.routes(DemandReporter(directory, loads, counts)))
        if secrets is not None:
            verifier = RenewedVerifier(secrets.current, GATEWAY, ids.own.place)
            answers = BackgroundService(kept).answers() | ImageFiles(kept).answers()
            health.include_router(peer_routes(answers, verifier, secrets.current))
        self._health = self._server(health, settings.health_port)

    async def run(self) -> None:
        """Serve until the process is to stop."""
        process = self._process
        spare_the_collector(*_COLLECTED_AT)
        process.start("the watch of the cluster", self._watcher.run())
        process.start("the poll of the pods", self._poller.run())
        if self._gateways is not None:
            process.start("the watch of the gateways", self._gateways.run())
        inference = process.start("the server of requests", self._inference.run_until_ended())
        health = process.start("the server of health and metrics", self._health.run_until_ended())
        log.info("serving", address=self._host, port=self._settings.http_port)
        await process.stopped()
        await self._end(inference)
        self._health.end(_HEALTH_END_S)
        await process.finish(health)
        await process.end()  # what they ask with is closed next

    async def _end(self, inference: asyncio.Task[None]) -> None:
        """Go on serving while Services and clients turn to others, then finish what runs.

        It says that it is ready for as long as it takes requests: kube-proxy sends requests to a terminating pod,
        where there is no other, but only while that is ready.
        """
        self._inference.drain()
        await asyncio.wait((inference,), timeout=self._settings.drain_seconds)
        self._takes_none.set()
        self._inference.end(self._settings.grace_seconds)
        await self._process.finish(inference, within_s=self._settings.grace_seconds + _HEALTH_END_S)
        # Those that somebody follows have had their time; nobody can ask for the others any more.
        await self._kept.background.close()

    @property
    def _host(self) -> str:
        return listen_host(self._settings.listen, self._settings.pod_ip)

    def _server(self, app: FastAPI, port: int, certificate: ServerCertificate | None = None) -> Server:
        try:
            return Server(app, bound_socket(self._host, port), certificate=certificate)
        except OSError as error:
            raise CannotStart(f"{self._host} port {port}: {error.strerror}") from error
