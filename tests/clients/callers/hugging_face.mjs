// The calls of @huggingface/inference that make pictures; what came of each is printed as one line of JSON.
// Read from standard input, so that packages are looked for where it runs. Last argument: the name of the package.
import { readFileSync } from "node:fs";

const [url, key, name] = process.argv.slice(-3);
const { InferenceClient, HfInference } = await import(name);
const version = JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
const client = (token = key) => new (InferenceClient ?? HfInference)(token);
const seen = { version };

const reds =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC";
const greens =
  "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEElEQVR4nGNg+M+AHQ0tCQDpMD/B9YBzjgAAAABJRU5ErkJggg==";
seen.sent = [reds, greens];
const blob = (data) => new Blob([Buffer.from(data, "base64")], { type: "image/png" });
const base64 = async (made) => [made.type, Buffer.from(await made.arrayBuffer()).toString("base64")];

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return { class: error.constructor.name, status: error.httpResponse?.status ?? null, message: error.message };
  }
}

const base = client().endpoint(url);
const pixel = client().endpoint(`${url}/models/pixel`);
// Version 2 asks the Hub which model is meant where a call names none, also of an endpoint; later ones send no model.
const isFirst = version.startsWith("2.");
const of = (model) => (isFirst ? { model } : {});
const parameters = { width: 64, height: 64, num_inference_steps: 5, guidance_scale: 3.5, negative_prompt: "a dog", seed: 4 };
const ours = { lora: "pixel:0.3" };
seen.text = await base64(await base.textToImage({ ...of("shapes"), inputs: "a cat", parameters: { ...parameters, ...ours } }));
seen.by_path = await base64(await pixel.textToImage({ ...of("pixel"), inputs: "a cat", parameters: { seed: 4 } }));
const edit = { prompt: "a hat", strength: 0.5, seed: 4 };
seen.words = await base64(await pixel.imageToImage({ ...of("pixel"), inputs: blob(reds), parameters: edit }));
// Without parameters version 2 sends a picture to the Hub, whatever its endpoint.
if (!isFirst) seen.bytes = await base64(await pixel.imageToImage({ ...of("pixel"), inputs: blob(reds) }));
const mask = { prompt: "a hat", mask_image: greens };
seen.mask = await base64(await pixel.imageToImage({ ...of("pixel"), inputs: blob(reds), parameters: mask }));
if (InferenceClient) {
  const there = new InferenceClient(key, { endpointUrl: `${url}/models/pixel` });
  seen.endpoint_url = await base64(await there.textToImage({ inputs: "a cat", parameters: { seed: 4 } }));
}
if (version.startsWith("4."))
  seen.data_url = await pixel.textToImage({ inputs: "a cat", parameters: { seed: 4 } }, { outputType: "dataUrl" });

const called = (model) => client().endpoint(`${url}/models/${model}`).textToImage({ ...of(model), inputs: "a cat" });
seen.size = await failure(base.textToImage({ ...of("shapes"), inputs: "a cat", parameters: { width: 63 } }));
seen.unknown = await failure(called("pixell"));
seen.broken = await failure(called("broken"));
seen.other_key = await failure(client("hf_another").endpoint(url).textToImage({ ...of("shapes"), inputs: "a cat" }));
console.log(JSON.stringify(seen));
