import { defineConfig } from "vite";

// The dev server passes everything that is not the page to a running `rollcall serve`.
const serve = process.env.ROLLCALL ?? "http://127.0.0.1:9191";

export default defineConfig({
  base: "/",
  server: { host: "127.0.0.1", proxy: { "/api": serve, "/demo": serve } },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // a data: address would need a hole in the content security policy
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
});
