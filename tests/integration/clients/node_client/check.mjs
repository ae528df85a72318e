// What JavaScript's client does against a server: node check.mjs KUBECONFIG NAMESPACE POD. Prints one line of JSON.
import { createRequire } from "node:module";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";

// The client is installed beside, not above, this file.
const found = createRequire(process.env.NODE_CLIENT + "/package.json").resolve("@kubernetes/client-node");
const k8s = await import(pathToFileURL(found).href);

const [kubeconfig, namespace, pod] = process.argv.slice(2);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api);
const extensions = config.makeApiClient(k8s.ApiextensionsV1Api);
const custom = config.makeApiClient(k8s.CustomObjectsApi);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const told = {};

const events = [];
const watch = new k8s.Watch(config);
const watching = await watch.watch(
  `/api/v1/namespaces/${namespace}/configmaps`, {},
  (type, object) => events.push(`${type} ${object.metadata.name}`), () => {},
);

await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "a" }, data: { k: "1" } } });
told.read = (await core.readNamespacedConfigMap({ namespace, name: "a" })).data.k;
const patched = await core.patchNamespacedConfigMap(
  { namespace, name: "a", body: { data: { k: "2" } } },
  k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.StrategicMergePatch),
);
told.patched = patched.data.k;
told.listed = (await core.listNamespacedConfigMap({ namespace })).items.map((item) => item.metadata.name);
const applied = await objects.patch(
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "b", namespace }, data: { k: "3" } },
  undefined, undefined, "node", true, k8s.PatchStrategy.ServerSideApply,
);
told.applied = applied.data.k;
told.manager = applied.metadata.managedFields[0].manager;
await core.deleteNamespacedConfigMap({ namespace, name: "a" });
try {
  await core.readNamespacedConfigMap({ namespace, name: "a" });
} catch (error) {
  told.missing = error.code;
}

told.log = await core.readNamespacedPodLog({ namespace, name: pod });
told.executed = await new Promise((resolve, reject) => {
  const out = new PassThrough();
  let text = "";
  out.on("data", (piece) => (text += piece));
  new k8s.Exec(config)
    .exec(namespace, pod, "c", ["say", "it"], out, null, null, false, (status) => resolve(`${status.status}: ${text}`))
    .catch(reject);
});

const definition = JSON.parse(process.env.DEFINITION);
const { group, names } = definition.spec;
await extensions.createCustomResourceDefinition({ body: definition });
for (;;) {
  const { status } = await extensions.readCustomResourceDefinition({ name: definition.metadata.name });
  if (status?.conditions?.some((c) => c.type === "Established" && c.status === "True")) break;
  await new Promise((resolve) => setTimeout(resolve, 20));
}
const thing = { apiVersion: `${group}/v1`, kind: names.kind, metadata: { name: "t" }, spec: { color: "red" } };
const where = { group, version: "v1", namespace, plural: names.plural };
told.custom = (await custom.createNamespacedCustomObject({ ...where, body: thing })).spec;
await extensions.deleteCustomResourceDefinition({ name: definition.metadata.name });

for (let waited = 0; events.length < 4 && waited < 10_000; waited += 20) {
  await new Promise((resolve) => setTimeout(resolve, 20));
}
watching.abort();
told.events = events;
console.log(JSON.stringify(told));
process.exit(0);
