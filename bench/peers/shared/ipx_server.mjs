// node ipx_server.mjs HOME PORT PNG_LEVEL: ipx of HOME/node_modules on a loopback port.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [home, port, level] = process.argv.slice(2);
const installed = createRequire(`${home}/node_modules/ipx/package.json`);
const sharp = installed("sharp");
const main = `${home}/node_modules/ipx/dist/index.mjs`;
const { createIPX, createIPXNodeServer, ipxFSStorage } = await import(pathToFileURL(main));

sharp.cache(false);
sharp.concurrency(1);
const ipx = createIPX({
  // Another name of /, which ipx takes for no folder.
  storage: ipxFSStorage({ dir: "/proc/self/root" }),
  sharpOptions: {
    jpegProgressive: false,
    pngCompressionLevel: Number(level),
    pngAdaptiveFiltering: false,
  },
});
createServer(createIPXNodeServer(ipx)).listen(Number(port), "127.0.0.1");
