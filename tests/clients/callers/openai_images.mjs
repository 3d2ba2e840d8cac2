// Every call of OpenAI's JavaScript client that makes pictures; what came of each is printed as one line of JSON.
// Read from standard input, so that packages are looked for where it runs. LAST argument: the name of the package.
import { readFileSync } from "node:fs";

const [url, key, name] = process.argv.slice(-3);
const { default: OpenAI, toFile } = await import(name);
const version = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, timeout: 30_000 });
const seen = { version };

const reds =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC";
const greens =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEElEQVR4nGNg+M+AHQ0tCQDpMD/B9YBzjgAAAABJRU5ErkJggg==";
const file = (data, called = "a.png") => toFile(Buffer.from(data, "base64"), called, { type: "image/png" });
seen.sent = [reds, greens];

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    const { status, code, param, type, message } = error;
    return { class: error.constructor.name, status, code, param, type, message, request_id: Boolean(error.requestID ?? error.request_id) };
  }
}

seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);
seen.model = (await client.models.retrieve("nerijs/pixel-art-xl")).id;

const ours = { seed: 4, loras: [{ name: "pixel", scale: 0.8 }] };
const usual = { model: "shapes", prompt: "a cat", size: "64x64" };
const made = await client.images.generate({ ...usual, n: 2, response_format: "b64_json", quality: "standard", user: "me", ...ours });
seen.generate = made.data.map((image) => image.b64_json);
seen.created = made.created;
const address = (await client.images.generate({ ...usual, response_format: "url", seed: 4 })).data[0].url;
seen.as_url = Buffer.from(await (await fetch(address)).arrayBuffer()).toString("base64");
const raw = await client.images
  .generate({ model: "pixel", prompt: "a cat" }, { headers: { "x-request-id": "mine" } })
  .withResponse();
seen.raw = [raw.response.headers.get("x-request-id"), raw.response.headers.get("x-lorapool-pod"), raw.data.data.length];

const edit = { prompt: "a hat", model: "shapes", size: "64x64" };
const edited = await client.images.edit({ ...edit, image: await file(reds), mask: await file(greens), ...ours });
seen.edit = edited.data.map((image) => image.b64_json);
seen.edit_named = (await client.images.edit({ ...edit, image: await file(reds, "a picture.png"), n: 2 })).data.length;
seen.vary = (await client.images.createVariation({ model: "pixel", image: await file(reds), n: 2, size: "64x64" })).data.length;
seen.edit_several = (await client.images.edit({ ...edit, image: [await file(reds), await file(greens)] })).data.length;

if (!version.startsWith("4.")) {
  seen.stream = [];
  for await (const event of await client.images.generate({ ...usual, stream: true, partial_images: 2, seed: 4 }))
    seen.stream.push([event.type, event.partial_image_index ?? null, event.b64_json]);
  seen.stream_of_none = [];
  for await (const event of await client.images.generate({ ...usual, stream: true, partial_images: 0, seed: 4 }))
    seen.stream_of_none.push([event.type, event.usage.total_tokens, event.size]);
  seen.stream_of_edit = [];
  for await (const event of await client.images.edit({ ...edit, image: await file(reds), stream: true, partial_images: 1 }))
    seen.stream_of_edit.push(event.type);
}

const other = new OpenAI({ baseURL: `${url}/v1`, apiKey: "another", maxRetries: 0 });
seen.unknown = await failure(client.images.generate({ model: "pixell", prompt: "a cat" }));
seen.size = await failure(client.images.generate({ model: "shapes", prompt: "a cat", size: "64 by 64" }));
seen.broken = await failure(client.images.generate({ model: "broken", prompt: "a cat" }));
seen.no_picture = await failure(client.images.edit({ ...edit, image: await toFile(Buffer.from("no picture"), "a.png") }));
const large = Buffer.concat([Buffer.from(reds, "base64"), Buffer.alloc(2 << 20)]);
seen.too_large = await failure(client.images.edit({ ...edit, image: await toFile(large, "a.png") }));
seen.other_key = await failure(other.images.generate(usual));
seen.unserved = await failure(client.chat.completions.create({ model: "shapes", messages: [{ role: "user", content: "a" }] }));
console.log(JSON.stringify(seen));
