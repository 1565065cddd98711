import { readdirSync } from "node:fs";
import { defineConfig } from "vite";

// Node's own test runner runs the tests; Vite only takes the types away, one file a test file.
export default defineConfig({
  publicDir: false,
  build: {
    ssr: true,
    outDir: "node_modules/.test",
    emptyOutDir: true,
    target: "node20",
    minify: false,
    rolldownOptions: {
      input: readdirSync("test")
        .filter((f) => f.endsWith(".test.ts"))
        .map((f) => `test/${f}`),
      output: { entryFileNames: "[name].js", chunkFileNames: "parts/[name].mjs" },
    },
  },
});
