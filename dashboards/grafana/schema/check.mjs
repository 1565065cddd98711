// Writes each dashboard as a literal of the types that Grafana publishes, and has the compiler look for what is missing, unknown or of a wrong kind.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'

const here = new URL('.', import.meta.url).pathname
const out = here + 'node_modules/.check/'
const parts = []
let n = 0
const hold = (type, value) => parts.push(`export const x${n++}: Plain<${type}> = ${JSON.stringify(value, null, 1)}`)

// The types leave open what depends on the kind of a panel; each kind has types of its own.
const kinds = { timeseries: 'timeseries', stat: 'stat', table: 'table', 'state-timeline': 'statetimeline' }
const panel = (p) => {
  const kind = kinds[p.type]
  if (!kind) throw new Error(`${p.title}: panels of the kind ${p.type} are not known here`)
  hold(`${kind}.Options`, p.options)
  const custom = kind === 'stat' ? null : `Partial<${kind}.FieldConfig>`
  if (custom) hold(custom, p.fieldConfig.defaults.custom)
  for (const t of p.targets) hold('prometheus.Dataquery', t)
  for (const o of p.fieldConfig.overrides) {
    for (const { id, value } of o.properties) {
      if (id.startsWith('custom.')) hold(custom, { [id.slice(7)]: value })
      else if (id !== 'links') hold('dashboard.FieldConfig', { [id]: value })
    }
  }
  const { options, targets, fieldConfig: f, ...rest } = p
  const { custom: _, ...defaults } = f.defaults
  return { ...rest, fieldConfig: { defaults, overrides: f.overrides } }
}

const files = readdirSync(here + '..').filter((f) => f.endsWith('.json'))
if (files.length < 4) throw new Error(`${files.length} dashboards; there are four`)
for (const f of files) {
  const d = JSON.parse(readFileSync(`${here}../${f}`, 'utf8'))
  const panels = d.panels.map((p) => (p.type === 'row' ? { ...p, panels: p.panels.map(panel) } : panel(p)))
  for (const p of panels) hold(p.type === 'row' ? 'dashboard.RowPanel' : 'dashboard.Panel', p)
  hold('dashboard.Dashboard', { ...d, panels: [] })
}
const used = ['dashboard', 'prometheus', ...Object.values(kinds)]
mkdirSync(out, { recursive: true })
writeFileSync(out + 'dashboards.ts', `${used.map((u) => `import type * as ${u} from '@grafana/grafana-foundation-sdk/${u}'`).join('\n')}
// As it stands in JSON: words for enums, and no methods.
type Plain<T> = T extends string ? \`\${T}\` : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T as K extends \`_\${string}\` ? never : K]: Plain<T[K]> } : T
${parts.join('\n')}
`)
writeFileSync(out + 'tsconfig.json', JSON.stringify({ compilerOptions: { strict: true, noEmit: true, module: 'nodenext', skipLibCheck: true, types: [] }, files: ['dashboards.ts'] }))
try {
  execFileSync('npx', ['--no-install', 'tsc', '-p', out], { cwd: here, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
} catch (e) {
  const faults = String(e.stdout).trim().split('\n')
  console.error(faults.slice(0, 20).join('\n') + (faults.length > 20 ? `\n… and ${faults.length - 20} more` : ''))
  process.exit(1)
}
console.log(`${files.length} dashboards, ${n} parts of them are as Grafana's schema has them`)
