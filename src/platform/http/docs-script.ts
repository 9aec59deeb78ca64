import { sampleOrigin } from './docs-sample.js';

/**
 * What the documentation page can do in a browser; without it the page is whole but for its buttons. Copies commands,
 * filters the sidebar, and sends the calls of the "Try it" forms to the server that the page came from.
 */
export const script = `'use strict';
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
for (const element of all('[hidden]')) element.hidden = false;
for (const pre of all('.command pre')) pre.textContent = pre.textContent.replace('${sampleOrigin}', location.origin);

document.addEventListener('click', async ({ target }) => {
  if (!target.matches('.copy')) return;
  try {
    await navigator.clipboard.writeText(target.previousElementSibling.textContent);
    target.textContent = 'Copied';
  } catch {
    // Pages that did not come over HTTPS or from this machine may not write to the clipboard.
    getSelection().selectAllChildren(target.previousElementSibling);
    target.textContent = 'Selected';
  }
  setTimeout(() => { target.textContent = 'Copy'; }, 1500);
});

document.getElementById('filter').addEventListener('input', ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const item of all('nav li')) item.hidden = !item.textContent.toLowerCase().includes(wanted);
});

document.addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.target;
  const output = form.querySelector('output');
  const query = new URLSearchParams();
  let path = form.dataset.path;
  let body;
  for (const field of all('[data-in]', form)) {
    if (field.dataset.in === 'path') path = path.replace('{' + field.name + '}', () => encodeURIComponent(field.value));
    else if (field.dataset.in === 'body') body = field.value;
    else for (const line of field.value.split('\\n')) if (line.trim() !== '') query.append(field.name, line.trim());
  }
  const url = path + (query.size === 0 ? '' : '?' + query);
  const pre = document.createElement('pre');
  pre.textContent = '...';
  output.replaceChildren(pre);
  try {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const response = await fetch(url, { method: form.dataset.method, headers, body, redirect: 'manual' });
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
    const told = ['location', 'link', 'x-correlation-id'].flatMap((name) =>
      response.headers.has(name) ? [name + ': ' + response.headers.get(name)] : []);
    pre.textContent = [response.status + ' ' + response.statusText, ...told, '', shown].join('\\n');
  } catch (error) {
    pre.textContent = String(error);
  }
});
`;
