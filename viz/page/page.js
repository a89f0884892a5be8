'use strict';
// The page is a view of one object, the element "data": entries with passes, dispatches
// and pictures, kernels, decisions. State is what is shown; show() draws it anew.
let data;
async function unpacked(id) {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent), c => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
}
const state = { tab: 'fusions', entry: 0, follow: '', query: '', unfolded: new Set(), whole: false, heat: false, sort: {} };
const byId = id => document.getElementById(id);
const entry = () => data.entries[state.entry];

// element makes an element of a tag, attributes and children, which are elements or text.
function element(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (k.startsWith('on')) { if (v) e.addEventListener(k.slice(2), v); }
    else if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v);
  }
  for (const c of children.flat(9)) if (c !== null && c !== undefined) e.append(c);
  return e;
}
function scaled(v, units, base) {
  let i = 0;
  while (Math.abs(v) >= base * .9995 && i < units.length - 1) { v /= base; i++; }
  return (i === 0 && Number.isInteger(v) ? v : Number(v.toPrecision(3))) + ' ' + units[i];
}
const us = v => v !== 0 && Math.abs(v) < 1 ? scaled(v * 1000, ['ns'], 1000) : scaled(v, ['us', 'ms', 's'], 1000);
const bytes = v => scaled(v, ['B', 'kB', 'MB', 'GB'], 1000);
const inLayer = (name, layer) => layer >= 0 && name.startsWith('layers.' + layer + '.') ? name.slice(('layers.' + layer + '.').length) : name;
// brief is a call of a pass without what every fusion of the default pipeline has.
const brief = pass => pass.replace(/^fuse-/, '').replace(/,?when=cheaper/, '').replace('{}', '');
const matches = text => !state.query || text.toLowerCase().includes(state.query.toLowerCase());

const tabs = { fusions: showFusions, decisions: showDecisions, passes: showPasses, graph: () => showPicture('graph'), plan: showPlan, picture: () => showPicture('plan') };
const tabNames = { fusions: 'Fusions', decisions: 'Decisions', passes: 'Passes', graph: 'Graph', plan: 'Plan', picture: 'Plan, drawn' };

function show() {
  const main = byId('main');
  main.replaceChildren();
  for (const b of byId('tabs').children) {
    b.setAttribute('aria-selected', b.dataset.tab === state.tab);
    if (b.dataset.tab === state.tab) b.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  tabs[state.tab](main);
  document.body.dataset.shown = state.tab;
}

// table draws rows of cells; columns are {name, n: numeric, of: row => sort key, cell: row => content}.
function table(id, columns, rows, open) {
  const sort = state.sort[id] || {};
  if (sort.column !== undefined) {
    const of = columns[sort.column].of;
    rows = rows.slice().sort((a, b) => { const x = of(a), y = of(b); return (x < y ? -1 : x > y ? 1 : 0) * (sort.down ? -1 : 1); });
  }
  const head = columns.map((c, i) => element('th', {
    class: (c.n ? 'n ' : '') + (c.name ? 'sort' + (sort.column === i ? (sort.down ? ' down' : ' up') : '') : ''),
    onclick: c.name && (() => { state.sort[id] = { column: i, down: sort.column === i ? !sort.down : !!c.n }; show(); }),
  }, c.name));
  const body = rows.map(r => element('tr', { class: open ? 'link' : '', onclick: open && (() => open(r)) },
    columns.map(c => element('td', { class: c.n ? 'n' : c.name === 'reason' ? 'text' : '' }, c.cell(r)))));
  return element('div', { class: 'scroll' }, element('table', { id }, element('thead', {}, element('tr', {}, head)), element('tbody', {}, body)));
}

const outcomeNames = ['matched', 'taken', 'unprofitable', 'refused'];
function showFusions(main) {
  const name = entry().name, rows = new Map();
  for (const d of data.decisions.filter(d => d.entry === name)) {
    if (!rows.has(d.pass)) rows.set(d.pass, { pass: d.pass, sites: {}, logs: [], worth: (name === data.entries[0].name && data.worth && data.worth[d.pass]) || {} });
    const r = rows.get(d.pass);
    r.logs.push(d);
    r.sites[d.outcome] = (r.sites[d.outcome] || 0) + d.sites;
  }
  if (!state.sort.fusions) state.sort.fusions = data.worth ? { column: 1, down: true } : {};
  const most = Math.max(1e-9, ...[...rows.values()].map(r => r.worth.saves || 0));
  const number = (r, key) => r.worth[key] === undefined ? -Infinity : r.worth[key];
  main.append(element('p', { class: 'faded' }, 'What a fusion saves is what the plan without it takes more (others may take its sites then); alone: what it saves where no other fusion runs. Times of ' + data.entries[0].name + ', modelled on ' + data.options.target + ', uncalibrated. Click a row for its sites and reasons.'));
  main.append(table('fusions', [
    { name: 'fusion', of: r => r.pass, cell: r => element('code', { title: r.pass }, brief(r.pass)) },
    { name: 'saves', n: 1, of: r => r.worth.matched ? number(r, 'saves') : -Infinity, cell: r => r.worth.matched ? element('span', r.worth.saves < 0 ? { class: 'refused', title: 'it costs: the plan without it is faster' } : {}, us(r.worth.saves)) : '' },
    { name: '', of: r => number(r, 'saves'), cell: r => element('span', { class: 'meter', style: 'width:' + (r.worth.matched ? 80 * Math.max(0, r.worth.saves) / most : 0) + 'px' }) },
    { name: '%', n: 1, of: r => number(r, 'share'), cell: r => r.worth.matched ? (100 * r.worth.share).toFixed(1) : '' },
    { name: 'a site', n: 1, of: r => number(r, 'per_site'), cell: r => r.worth.matched ? us(r.worth.per_site) : '' },
    { name: 'alone', n: 1, of: r => number(r, 'alone'), cell: r => r.worth.alone !== undefined && !r.sites['no site'] ? us(r.worth.alone) : '' },
    ...outcomeNames.map(o => ({ name: o, n: 1, of: r => r.sites[o] || 0, cell: r => element('span', { class: o }, r.sites[o] ? String(r.sites[o]) : '') })),
    { name: '', of: r => r.sites['no site'] || 0, cell: r => r.sites['no site'] ? element('span', { class: 'faded' }, 'no site') : '' },
  ], [...rows.values()].filter(r => matches(r.pass)), r => panel('Fusion ' + brief(r.pass), 'narrow', element('div', {}, r.logs.map(logText)))));
}
function logText(d) {
  return element('p', {}, element('b', { class: d.outcome.split(' ')[0] }, d.outcome), d.outcome === 'no site' ? '' : ' × ' + d.sites + ' ',
    d.outcome === 'no site' ? '' : element('code', { class: 'line', onclick: () => followIn('passes', d.node) }, d.node), element('br'), d.reason);
}
const perSite = d => { const w = data.worth && d.entry === data.entries[0].name && d.outcome === 'matched' && data.worth[d.pass]; return w ? w.per_site : 0; };
function showDecisions(main) {
  if (!state.sort.decisions) state.sort.decisions = { column: 4, down: true };
  main.append(table('decisions', [
    { name: 'outcome', of: d => d.outcome, cell: d => element('span', { class: d.outcome.split(' ')[0] }, d.outcome) },
    { name: 'pass', of: d => d.pass, cell: d => element('code', { title: d.pass }, brief(d.pass)) },
    { name: 'node', of: d => d.node, cell: d => element('code', {}, inLayer(d.node, d.layers[0])) },
    { name: 'sites', n: 1, of: d => d.sites, cell: d => String(d.sites) },
    { name: 'us × sites', n: 1, of: d => perSite(d) * d.sites, cell: d => perSite(d) ? us(perSite(d) * d.sites) : '' },
    { name: 'bytes', n: 1, of: d => d.bytes * d.sites, cell: d => d.bytes ? bytes(d.bytes * d.sites) : '' },
    { name: 'reason', of: d => d.reason, cell: d => d.reason },
  ], data.decisions.filter(d => d.entry === entry().name && matches(d.pass + ' ' + d.node + ' ' + d.reason + ' ' + d.outcome)),
  d => panel(brief(d.pass), 'narrow', logText(d))));
}

// Passes: a column each, as Go's ssa.html has them; a click on a value marks it in all.
function showPasses(main) {
  const columns = element('div', { class: 'columns' });
  for (const p of entry().passes) {
    if (!p.changed) { columns.append(element('div', { class: 'column same' }, p.name + ' changed nothing')); continue; }
    const c = element('div', { class: 'column' }, element('h2', {}, p.name + ' ', element('span', { class: 'faded' }, p.nodes + ' nodes')));
    lines(c, p);
    columns.append(c);
  }
  main.append(columns);
  mark();
}
// moved is a name of the first layer of a run as it is in a later one.
const moved = (name, by) => by ? name.replace(/\blayers\.(\d+)\./g, (_, n) => 'layers.' + (Number(n) + by) + '.') : name;
function lines(column, pass) {
  const list = pass.lines;
  for (let i = 0; i < list.length;) {
    const run = list[i].n || 0;
    if (!run) { nodeLine(column, list[i], 0); i++; continue; }
    let end = i;
    while (end < list.length && list[end].n === run && list[end].y === list[i].y) end++;
    const first = list[i].y, key = first + '+' + run, open = state.unfolded.has(key);
    column.append(element('div', { class: 'fold', onclick: () => { open ? state.unfolded.delete(key) : state.unfolded.add(key); show(); } },
      (open ? '▾' : '▸') + ' layers ' + first + '..' + (first + run - 1) + ' × ' + run));
    for (let by = 0; by < (open ? run : 1); by++) for (const l of list.slice(i, end)) nodeLine(column, l, by);
    i = end;
  }
}
function nodeLine(column, l, by) {
  const add = (l, inner) => {
    const label = moved(l.l, by), args = l.a.map(a => moved(a, by));
    column.append(element('div', { class: 'line mono' + (inner ? ' inner' : ''), 'data-value': label, title: l.t, onclick: () => follow(label) },
      element('b', {}, label || '·'), ' = ' + l.o + ' ' + args.map(a => inLayer(a, l.y + by)).join(', ') + '  ', element('span', { class: 'faded' }, l.t)));
  };
  add(l, false);
  for (const f of l.f || []) add(f, true);
}
function follow(label) {
  state.follow = state.follow === label ? '' : label;
  mark();
  if (!state.follow) return;
  const d = entry().dispatches.filter(d => d.label === label || d.nodes.some(n => n.label === label));
  panel('Value ' + label, 'narrow', element('div', {},
    element('p', {}, 'in ' + columnsWith(label) + ' of ' + entry().passes.filter(p => p.changed).length + ' columns; computed by'),
    d.map(d => dispatchLink(d)), element('p', {}, element('button', { onclick: () => { state.query = ''; go('plan'); } }, 'show in the plan'))));
}
function columnsWith(label) {
  const layer = /^layers\.(\d+)\./.exec(label);
  const is = l => [l, ...(l.f || [])].some(x => x.l === label || l.n && layer && Number(layer[1]) >= l.y && Number(layer[1]) < l.y + l.n && moved(x.l, Number(layer[1]) - l.y) === label);
  return entry().passes.filter(p => p.changed && p.lines.some(is)).length;
}
function followIn(tab, label) { state.follow = ''; go(tab); follow(label); const e = document.querySelector('.line.on'); if (e) e.scrollIntoView({ block: 'center', inline: 'nearest' }); }
function mark() {
  let first = null;
  for (const e of document.querySelectorAll('[data-value]')) {
    const on = state.follow ? e.dataset.value === state.follow : state.query && e.dataset.value.toLowerCase().includes(state.query.toLowerCase());
    e.classList.toggle('on', !!on);
    if (on && !first) first = e;
  }
  return first;
}

// Plan: the timeline to scale, then a row a dispatch.
function showPlan(main) {
  const e = entry();
  main.append(element('p', { class: 'faded' }, e.dispatches.length + ' dispatches, ' + us(e.device_us) + ' in all waves, ' + data.times + ', ' + e.at + '. A click opens the kernel.'));
  main.append(timeline(e));
  const most = Math.max(...e.dispatches.map(d => d.us));
  main.append(table('plan', [
    { name: '#', n: 1, of: d => d.i, cell: d => String(d.i) },
    { name: 'wave', n: 1, of: d => d.wave, cell: d => String(d.wave) },
    { name: 'dispatch', of: d => d.label, cell: d => element('span', { 'data-value': d.label }, d.label) },
    { name: 'time', n: 1, of: d => d.us, cell: d => us(d.us) },
    { name: '', of: d => d.us, cell: d => element('span', { class: 'meter', style: 'width:' + 60 * d.us / most + 'px' }) },
    { name: 'bytes', n: 1, of: d => d.bytes, cell: d => bytes(d.bytes) },
    { name: 'grid', n: 1, of: d => d.grid, cell: d => d.grid },
    { name: 'kernel', of: d => d.kernel, cell: d => element('code', {}, data.kernels[d.kernel].name) },
    { name: 'operations', of: d => d.nodes.length, cell: d => element('span', { class: 'faded' }, d.nodes.map(n => n.op).join(', ')) },
  ], e.dispatches.filter(d => matches(d.label + ' ' + data.kernels[d.kernel].name + ' ' + d.nodes.map(n => n.label + ' ' + n.op).join(' '))), openDispatch));
  mark();
}
const svg = (tag, attributes) => { const e = document.createElementNS('http://www.w3.org/2000/svg', tag); for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v); return e; };
function timeline(e) {
  const part = v => 100 * v / (e.device_us || 1) + '%';
  const waves = new Map();
  for (const d of e.dispatches) { if (!waves.has(d.wave)) waves.set(d.wave, []); waves.get(d.wave).push(d); }
  const high = Math.max(...[...waves.values()].map(w => w.length));
  const tall = Math.max(14, Math.min(28, 140 / high));
  const root = svg('svg', { width: '100%', height: tall * Math.min(high, 30) + 20, id: 'timeline', role: 'img', 'aria-label': 'timeline' });
  let at = 0;
  for (const [wave, list] of waves) {
    const took = list.reduce((s, d) => s + d.us, 0);
    list.forEach((d, i) => {
      const r = svg('rect', { x: part(at), y: Math.min(i, 29) * tall, width: part(took), height: tall - 2, fill: 'hsl(' + (d.kernel * 47 % 360) + ' 55% 55%)', 'data-dispatch': d.i });
      r.append(Object.assign(document.createElementNS('http://www.w3.org/2000/svg', 'title'), { textContent: d.label + ', wave ' + wave + ': ' + us(d.us) }));
      r.addEventListener('click', () => openDispatch(d));
      root.append(r);
    });
    at += took;
  }
  for (let i = 0; i <= 4; i++) {
    const t = svg('text', { x: 25 * i + '%', dx: [3, 0, 0, 0, -3][i], 'text-anchor': ['start', 'middle', 'middle', 'middle', 'end'][i], y: tall * Math.min(high, 30) + 14, 'font-size': 10, fill: 'currentColor' });
    t.textContent = us(e.device_us * i / 4);
    root.append(t);
  }
  return element('div', { class: 'timeline' }, root);
}
const dispatchLink = d => element('p', {}, element('code', { class: 'line', onclick: () => openDispatch(d) }, d.label + ' · ' + data.kernels[d.kernel].name), ' ' + us(d.us));
function openDispatch(d) {
  state.open = d.i;
  const k = data.kernels[d.kernel];
  for (const r of document.querySelectorAll('#timeline rect')) r.classList.toggle('on', Number(r.dataset.dispatch) === d.i);
  const facts = { dispatch: '#' + d.i + ', wave ' + d.wave + ', command buffer ' + (d.buffer + 1), time: us(d.us) + ', ' + data.times + ', ' + entry().at, moved: d.moved + (/[TP]/.test(d.moved) ? ' = ' + bytes(d.bytes) : ''), flops: d.flops.toLocaleString('en'), grid: d.grid + ' threadgroups of ' + k.threads + ' threads', 'threadgroup memory': bytes(k.threadgroup_bytes), main: k.main, stages: (k.stages || []).join(', ') };
  panel('Kernel ' + k.name, 'wide', element('div', { id: 'kernel', 'data-kernel': d.kernel, 'data-dispatch': d.i },
    element('p', {}, element('b', {}, d.label)),
    element('dl', {}, Object.entries(facts).filter(([, v]) => v).map(([n, v]) => [element('dt', {}, n), element('dd', {}, v)])),
    element('h2', {}, 'computes'), element('p', {}, d.nodes.map(n => element('div', { class: 'line mono', onclick: () => followIn('passes', n.label || d.label) }, n.op + '  ' + (n.label || d.label)))),
    element('h2', {}, 'binds'),
    element('div', { class: 'scroll' }, element('table', {}, element('tbody', {}, d.bind.map((b, i) => element('tr', {}, [String(i), b.slot, b.type, b.access, b.class, b.buffer, b.offset ? '+' + b.offset : '', bytes(b.bytes)].map(c => element('td', { class: 'mono' }, c))))))),
    element('h2', {}, 'Metal text'), source(k)));
}
// source is the kernel's own function first, with the comments that open its stages marked.
function source(k) {
  const at = k.source.indexOf('kernel void ' + k.name), pre = element('pre', {});
  const put = text => text.split('\n').forEach(line => {
    const stage = /^\s*\/\/ (Preload|Prologue|Main|Epilogue)\b/.test(line);
    pre.append(stage ? element('span', { class: 'stage' }, line + '\n') : line + '\n');
  });
  put(k.source.slice(Math.max(0, at)));
  return element('div', {}, pre, at > 0 ? element('details', {}, element('summary', {}, 'what stands before it, ' + k.source.slice(0, at).split('\n').length + ' lines'), element('pre', {}, k.source.slice(0, at))) : null);
}

// Pictures: Graphviz, compiled for browsers and part of this page, draws them.
let drawing;
function graphviz() {
  drawing = drawing || unpacked('drawing').then(text => {
    const script = document.createElement('script');
    script.textContent = text;
    document.head.append(script);
    return Viz.instance();
  });
  return drawing;
}
async function showPicture(kind) {
  const main = byId('main'), name = kind + (state.whole ? '' : '-folded'), picture = element('div', { class: 'picture' });
  const toggle = (text, key) => element('button', { 'aria-pressed': String(state[key]), onclick: () => { state[key] = !state[key]; show(); } }, text);
  main.append(element('div', { class: 'bar' }, toggle('unfold layers', 'whole'), toggle('heat by time', 'heat'), element('button', { onclick: () => view.fit() }, 'fit'),
    element('span', { class: 'faded', id: 'drawn' }, 'drawing …')), element('div', { class: 'stagebox' }, picture));
  const start = performance.now();
  const view = panZoom(picture);
  try {
    const drawn = (await graphviz()).renderSVGElement(entry().pictures[name]);
    linesAcross(drawn);
    picture.replaceChildren(drawn);
    byId('drawn').textContent = 'drawn in ' + Math.round(performance.now() - start) + ' ms; drag, wheel or pinch; click a box';
    const dispatches = new Map();
    for (const d of entry().dispatches) dispatches.set(d.label, d);
    const most = Math.max(...entry().dispatches.map(d => d.us));
    for (const g of drawn.querySelectorAll('g[id^="u-"]')) {
      const label = g.id.slice(2), d = dispatches.get(label) || entry().dispatches.find(d => d.label.startsWith(label + '.'));
      g.style.cursor = 'pointer';
      g.dataset.value = label;
      g.addEventListener('click', event => { event.stopPropagation(); if (!view.dragged()) d ? openDispatch(d) : follow(label); });
      if (state.heat && d) for (const p of g.querySelectorAll(':scope > path, :scope > polygon, :scope > a > path')) p.setAttribute('fill', 'rgba(222,70,40,' + (.08 + .85 * Math.sqrt(d.us / most)) + ')');
    }
    for (const g of drawn.querySelectorAll('g.cluster')) {
      const t = g.querySelector(':scope > text');
      if (t && / × \d+$/.test(t.textContent)) { t.style.cursor = 'pointer'; t.addEventListener('click', () => { state.whole = true; show(); }); }
    }
    view.fit();
    find(drawn, view);
  } catch (e) {
    byId('drawn').textContent = 'this browser could not draw it: ' + e.message;
  }
  document.body.dataset.drawn = name;
}
// linesAcross draws the barriers of a plan from side to side, above clusters and below all
// else, as the files are drawn.
function linesAcross(drawn) {
  const first = drawn.querySelector('g.node, g.edge'), sides = drawn.querySelector('g.graph > polygon').getAttribute('points').split(/[ ,]/).filter((_, i) => i % 2 === 0).map(Number);
  const left = Math.min(...sides), right = Math.max(...sides);
  for (const bar of drawn.querySelectorAll('g.barrier')) {
    const text = bar.querySelector('text'), y = Number(text.getAttribute('y'));
    bar.prepend(svg('polyline', { fill: 'none', stroke: text.getAttribute('fill'), 'stroke-dasharray': '5,3', points: left + ',' + y + ' ' + right + ',' + y }));
    for (const [k, v] of Object.entries({ 'text-anchor': 'start', x: left + 4, y: y - 3 })) text.setAttribute(k, v);
    if (first && first !== bar) first.before(bar);
  }
}
function find(drawn, view) {
  if (!state.query) return;
  for (const g of drawn.querySelectorAll('g[data-value]')) if (g.dataset.value.toLowerCase().includes(state.query.toLowerCase())) { view.to(g); return; }
}
function panZoom(box) {
  let x = 0, y = 0, k = 1, held = new Map(), travelled = 0;
  const apply = () => { const s = box.querySelector('svg'); if (s) s.style.transform = 'translate(' + x + 'px,' + y + 'px) scale(' + k + ')'; };
  const zoom = (by, at) => { const n = Math.min(8, Math.max(.01, k * by)); x = at.x - (at.x - x) * n / k; y = at.y - (at.y - y) * n / k; k = n; apply(); };
  const place = e => { const r = box.getBoundingClientRect(); return { x: e.clientX - r.left, y: e.clientY - r.top }; };
  box.addEventListener('wheel', e => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), place(e)); }, { passive: false });
  box.addEventListener('pointerdown', e => { held.set(e.pointerId, place(e)); travelled = 0; });
  window.addEventListener('pointerup', e => held.delete(e.pointerId));
  box.addEventListener('pointermove', e => {
    const was = held.get(e.pointerId), is = place(e);
    if (!was) return;
    if (held.size === 1) { x += is.x - was.x; y += is.y - was.y; travelled += Math.abs(is.x - was.x) + Math.abs(is.y - was.y); apply(); }
    else { const [, other] = [...held.entries()].find(([id]) => id !== e.pointerId); const d = p => Math.hypot(p.x - other.x, p.y - other.y); zoom(d(is) / (d(was) || 1), other); travelled = 9; }
    held.set(e.pointerId, is);
  });
  return {
    dragged: () => travelled > 4,
    fit() { const s = box.querySelector('svg'); if (!s) return; const w = s.width.baseVal.value, h = s.height.baseVal.value; k = Math.min(1.2, box.clientWidth / w); if (h * k < box.clientHeight) k = Math.min(1.2, Math.max(k, Math.min(box.clientWidth / w, box.clientHeight / h))); x = Math.max(0, (box.clientWidth - w * k) / 2); y = 0; apply(); },
    to(g) { k = 1; apply(); const r = g.getBoundingClientRect(), b = box.getBoundingClientRect(); x += b.left + b.width / 2 - r.left - r.width / 2; y += b.top + b.height / 2 - r.top - r.height / 2; apply(); },
  };
}

function panel(title, width, content) {
  const side = byId('side');
  side.hidden = false;
  document.body.dataset.side = width;
  side.replaceChildren(element('button', { class: 'close', onclick: closePanel }, 'close  Esc'), element('h2', {}, title), content);
  side.scrollTop = 0;
}
function closePanel() { byId('side').hidden = true; delete document.body.dataset.side; state.open = undefined; }
function go(tab) { state.tab = tab; closePanel(); show(); }

async function start() {
  data = JSON.parse(await unpacked('data'));
  const o = data.options;
  byId('title').textContent = data.title;
  byId('facts').textContent = [data.model.layers + ' layers', 'hidden ' + data.model.hidden, (o.variant ? 'passes ' + o.variant : 'own passes'), 'weights ' + o.weights, 'cache ' + o.cache, 'attention ' + o.attention, 'arena ' + bytes(data.arena_bytes), 'times ' + data.times, 'plan ' + data.hash.slice(0, 12)].join(' · ');
  Object.keys(tabs).forEach((t, i) => byId('tabs').append(element('button', { role: 'tab', 'data-tab': t, title: 'key ' + (i + 1), onclick: () => go(t) }, tabNames[t])));
  data.entries.forEach((e, i) => byId('entry').append(element('option', { value: i }, e.name)));
  byId('entry').addEventListener('change', e => { state.entry = Number(e.target.value); state.follow = ''; closePanel(); show(); });
  byId('search').addEventListener('input', e => { state.query = e.target.value; if (state.tab === 'passes') { const m = mark(); if (m) m.scrollIntoView({ block: 'center' }); } else if (state.tab !== 'graph' && state.tab !== 'picture') show(); });
  byId('search').addEventListener('change', () => { if (state.tab === 'graph' || state.tab === 'picture') show(); });
  const dark = on => document.documentElement.classList.toggle('dark', on);
  dark(matchMedia('(prefers-color-scheme: dark)').matches);
  byId('theme').addEventListener('click', () => dark());
  document.addEventListener('keydown', e => {
    if (e.target.tagName === 'INPUT' || e.target.tagName === 'SELECT') { if (e.key === 'Escape') e.target.blur(); return; }
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const tab = Object.keys(tabs)[Number(e.key) - 1];
    if (tab) go(tab);
    else if (e.key === '/') { e.preventDefault(); byId('search').focus(); }
    else if (e.key === 'Escape') closePanel();
    else if (e.key === 't') dark();
    else if ((e.key === 'j' || e.key === 'k') && state.open !== undefined) { const d = entry().dispatches[state.open + (e.key === 'j' ? 1 : -1)]; if (d) openDispatch(d); }
  });
  show();
}
start().catch(e => { byId('title').textContent = 'This page needs a browser of 2023 or later: ' + e.message; });
