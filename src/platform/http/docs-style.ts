/** The style sheet of the documentation page. */
export const style = `
:root {
  --ground: #fff; --side: #f7f7f8; --text: #1d1f24; --faint: #626873; --line: #e2e4e9; --link: #0b5cad; --code: #f1f2f5;
  --get: #0b6bcb; --post: #1a7f4b; --put: #8a5a00; --patch: #8a5a00; --delete: #c0362c; --stream: #6d45c4;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15171c; --side: #1b1e24; --text: #e4e6eb; --faint: #9aa1ad; --line: #2e323b; --link: #7ab7ff; --code: #22262e;
    --get: #6cb2ff; --post: #5fd39a; --put: #e3b55b; --patch: #e3b55b; --delete: #ff8d85; --stream: #b99cff;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; display: grid; grid-template-columns: 19rem minmax(0, 1fr); background: var(--ground); color: var(--text);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre, textarea, input { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.87em; }
code { background: var(--code); padding: 0.1em 0.35em; border-radius: 4px; overflow-wrap: anywhere; }
pre { background: var(--code); padding: 0.8rem 1rem; border-radius: 8px; overflow-x: auto; line-height: 1.5; }
small, .meta { color: var(--faint); font-weight: normal; }

nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.2rem; background: var(--side);
  border-right: 1px solid var(--line); }
nav .brand { margin: 0 0 0.8rem; font-size: 1.15rem; font-weight: 650; }
nav .brand a, nav h2 a { color: inherit; }
nav h2 { margin: 1.2rem 0 0.3rem; font-size: 0.8rem; color: var(--faint); }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li a { display: flex; gap: 0.5rem; align-items: center; padding: 0.18rem 0.4rem; border-radius: 6px; color: var(--text); font-size: 0.84rem; }
nav li a:hover { background: var(--code); text-decoration: none; }
nav li span:last-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
nav .badge { flex: none; width: 4.6em; padding: 0.05rem 0; }
#filter { width: 100%; }

main { width: 100%; max-width: 60rem; padding: 2rem clamp(1rem, 4vw, 3rem) 6rem; }
h1 { margin-top: 0; font-size: 1.9rem; line-height: 1.2; }
main > section > h2 { margin-top: 3.5rem; padding-bottom: 0.4rem; border-bottom: 1px solid var(--line); font-size: 1.4rem; }
h4 { margin: 1.4rem 0 0.4rem; font-size: 0.92rem; }
.operation { margin-top: 2.2rem; padding: 1.2rem 1.4rem; border: 1px solid var(--line); border-radius: 10px; }
.operation h3 { display: flex; flex-wrap: wrap; gap: 0.6rem; align-items: center; margin: 0 0 0.6rem; font-size: 1.05rem; }
.operation h3 code { background: none; padding: 0; font-size: 1rem; }
.operation .summary { font-weight: 600; margin: 0 0 0.4rem; }
.operation > p { margin: 0.4rem 0; }
.anchor { margin-left: auto; color: var(--faint); }
.operation:target, .schema:target, .proto:target { border-color: var(--link); box-shadow: 0 0 0 1px var(--link); }
.schema { margin-top: 1.6rem; padding: 0.2rem 1rem; border: 1px solid transparent; border-radius: 8px; }
.schema h3 { margin: 0.4rem 0; font-size: 1.05rem; }
.proto { border: 1px solid transparent; }
.proto i { color: var(--faint); font-style: normal; }
.proto b { font-weight: 600; }

.badge { display: inline-block; padding: 0.05rem 0.4rem; border: 1px solid currentColor; border-radius: 5px; text-align: center;
  font: 650 0.66rem/1.5 ui-monospace, Menlo, Consolas, monospace; color: var(--faint); }
.badge.get { color: var(--get); } .badge.post { color: var(--post); } .badge.put { color: var(--put); }
.badge.patch { color: var(--patch); } .badge.delete { color: var(--delete); } .badge.stream, .badge.rpc { color: var(--stream); }

.table { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
th { text-align: left; font-weight: 500; color: var(--faint); font-size: 0.8rem; }
th, td { padding: 0.35rem 0.9rem 0.35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:last-child, th:last-child { padding-right: 0; }
td:nth-last-child(2):not(:first-child), td:first-child code { white-space: nowrap; }
#errors td:nth-child(2) { white-space: normal; }

.command { position: relative; }
.command pre { margin: 1rem 0; padding-right: 4.5rem; }
.copy { position: absolute; top: 0.5rem; right: 0.5rem; }
button { padding: 0.2rem 0.7rem; border: 1px solid var(--line); border-radius: 6px; background: var(--ground); color: var(--text);
  font: inherit; font-size: 0.8rem; cursor: pointer; }
button:hover { border-color: var(--link); }
details { margin-top: 0.6rem; }
summary { color: var(--link); cursor: pointer; font-size: 0.9rem; }
input, textarea { padding: 0.35rem 0.5rem; border: 1px solid var(--line); border-radius: 6px; background: var(--ground); color: var(--text); }
form label { display: grid; grid-template-columns: 10rem minmax(0, 1fr); gap: 0.6rem; align-items: start; margin: 0.5rem 0; }
form textarea { resize: vertical; }
[hidden] { display: none !important; }

@media (max-width: 56rem) {
  body { display: block; }
  nav { position: static; height: auto; max-height: 45vh; border-right: 0; border-bottom: 1px solid var(--line); }
  form label { grid-template-columns: 1fr; gap: 0.2rem; }
  .operation { padding: 1rem; }
}
`;
