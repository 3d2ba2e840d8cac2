"""What operator, gateway and runtime say to each other over HTTP.

Control port of a runtime pod (a call signed by the operator, else 401: `lorapool_common.signed`; in pods whose
configuration trusts no operator's key `Authorization: Bearer <control token>`):

| call | body | answer |
| --- | --- | --- |
| GET /v1/base | | 200 `BaseReport`; 503 `ErrorReply` (`NotReady`) until the base is loaded |
| PUT /v1/catalog | `Catalog` | 200 `PodState`, complete |
| PATCH /v1/catalog | `CatalogDelta` | 200 `PodState` with the adapters it names; 409 `ErrorReply` (`DigestMismatch`) |
| PUT /v1/assignment | `AssignmentAndDelta` | 200 `PodState` with the adapters that its delta names, if it is taken |
| PUT /v1/credentials | `CredentialsDelivery` | 200 `PodState`, without adapters; what it does not wait for is dropped |
| GET /v1/state?since=N&instance=I&wait=S | | 200 `PodState`, as soon as its version exceeds N, or after S <= 60 s |

The pods of a pool ask each other there too, with the token of their assignments (`Authorization: Bearer <token>`):

| call | body | answer |
| --- | --- | --- |
| POST /v1/files?wait=S | `FileQuery` | 200 `FileFound`, as soon as the file is there, within S <= 60 s |
| GET /v1/blobs/SHA256 | | 200 or 206 the file, with ranges (RFC 9110, 14); 404 |

Instead of a file: 409 `AdapterNotReady`, it is on its way; 503 `NotReady`, the pod itself waits for another one; 404
`UnknownAdapter`; 422 `AdapterFailed` with the reason.

Serving port (`/v1` is for calls that a gateway has signed, else 401; in pods whose configuration trusts no gateway's
key it is open; a NetworkPolicy keeps it to gateways besides):

| call | answer |
| --- | --- |
| GET /healthz | 200 while the process works; 503 when its device is lost or its engine hangs: it ends |
| GET /readyz | 200 when the base is warm, a catalog has arrived, and what the last process served is back; else 503 |
| GET /metrics | Prometheus text |
| GET /v1/status | 200 `ServingStatus` with the tiers of all adapters |
| GET /v1/status?since=N&instance=I | 200 `ServingStatus`: what changed since, if it is that process and knows |
| either, where `Accept` names `application/x-ndjson` first | 200 the same, then what changes: `gateways.stream` |
| POST /v1/generate | 200 `GenerateReply` to a `GenerateRequest`; the first image itself where `Accept` names an image |

Where `Accept` names `application/vnd.lorapool.images` first, the reply comes with its images as they are (`bundle`).
Where `Accept` names `text/event-stream` first, the images come as events: `step` (`StepReport`) after each step, then
`done` (`GenerateReply`) or `error` (`ErrorReply`).

Everything that is not 200 carries an `ErrorReply`.
"""
