import assert from "node:assert/strict";
import { test } from "node:test";
import { absent, axisText, count, errors, interval, milliseconds, percent, plural, quantity, rate, sig } from "../src/say/number";

const table = <A extends unknown[]>(name: string, f: (...a: A) => string, cases: [...A, string][]): void => {
  test(name, () => {
    for (const c of cases) {
      const want = c[c.length - 1] as string;
      const args = c.slice(0, -1) as unknown as A;
      assert.equal(f(...args), want, `${name}(${JSON.stringify(args)})`);
    }
  });
};

table("sig", sig, [
  [0, 2, "0"],
  [3.14, 2, "3.1"],
  [0.0312, 2, "0.031"],
  [9.97, 2, "10"],
  [99.96, 3, "100"],
  [1.0, 3, "1.00"],
  [-0.25, 2, "-0.25"],
]);

table("count", count, [
  [0, "0"],
  [999, "999"],
  [2032, "2,032"],
  [1234567, "1,234,567"],
  [null, "–"],
]);

table("plural", plural, [
  [1, "instance", "1 instance"],
  [0, "instance", "0 instances"],
  [2032, "instance", "2,032 instances"],
] as [number, string, string][]);

table("quantity", quantity, [
  [null, "–"],
  [0, "0"],
  [18400.2, "18.4k"],
  [999.96, "1.00k"],
  [999949, "1.00M"],
  [312, "312"],
  [48.04, "48"],
  [48.26, "48.3"],
  [4.21, "4.2"],
  [0.0352, "0.035"],
  [1.2e9, "1.20G"],
  [-1234, "-1.23k"],
  [0.00000312, "3.1e-6"],
]);

table("rate", rate, [
  [null, "–"],
  [0, "0/s"],
  [96123, "96.1k/s"],
  [1000, "1.00k/s"],
  [312.4, "312/s"],
  [48.2, "48/s"],
  [9.97, "10/s"],
  [4.21, "4.2/s"],
  [0.35, "0.35/s"],
  [0.04, "2.4/min"],
  [0.004, "0.2/min"],
  [0.001, "4/h"],
]);

table("percent", percent, [
  [null, "–"],
  [0, "0 %"],
  [1, "100 %"],
  [0.031, "3.1 %"],
  [0.0031, "0.31 %"],
  [0.31, "31 %"],
  [0.00031, "0.031 %"],
  [0.00001, "< 0.01 %"],
  [0.9996, "> 99.9 %"],
  [0.9968, "99.6 %"],
]);

table("errors", errors, [
  [0.031, 18400, "3.1 %"],
  [0.0005, 96000, "0.050 %"],
  [0.00049, 96000, "47/s"],
  [0.0001, 300, "1.8/min"],
  [0, 300, "0/s"],
  [0.0001, null, "0.010 %"],
  [null, 300, "–"],
] as [number | null, number | null, string][]);

table("milliseconds", milliseconds, [
  [null, "–"],
  [0, "0 ms"],
  [212.4, "212 ms"],
  [9.2, "9.2 ms"],
  [1212, "1.2 s"],
  [0.035, "35 µs"],
]);

table("axisText", axisText, [
  ["5.0 %", "5 %"],
  ["0.50 %", "0.5 %"],
  ["1.00k/s", "1k/s"],
  ["100 %", "100 %"],
  ["750 ms", "750 ms"],
  ["0", "0"],
]);

table("interval", (est: number | null, lo: number | null, hi: number | null) => interval({ est, lo, hi }), [
  [212, 203, 221, "212 ± 9 ms"],
  [1212, 1112, 1300, "1.2 ± 0.1 s"],
  [4.21, 4.0, 4.42, "4.2 ± 0.2 ms"],
  [640, 640, 640, "640 ms"],
  [640, null, null, "640 ms"],
  [null, 1, 2, "–"],
  [100, 100, 148, "100 ± 48 ms"],
]);

test("absent: who left is missing, who is there and does not answer is silent", () => {
  for (const [expected, answering, missing, want] of [
    [146, 126, 0, "20 silent"], [10, 7, 2, "2 missing, 1 silent"], [10, 8, 2, "2 missing"], [5, 5, undefined, ""], [5, 4, undefined, "1 silent"],
  ] as const) assert.equal(absent({ expected, answering, missing }), want);
});
