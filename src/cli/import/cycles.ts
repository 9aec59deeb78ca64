/** `task` waits for `blocker`. */
export interface Edge {
  readonly task: string;
  readonly blocker: string;
}

/**
 * Finds the edges that would make tasks wait for each other forever, by blockers and through parents and children: a task begins after its
 * blockers and those above it have ended, and ends after those below it. In the order given, each edge that closes a circle is
 * answered, with whom it leads along, and is taken to be left out.
 */
export function findCycles<E extends Edge>(
  edges: readonly E[],
  parents: ReadonlyMap<string, string>,
): readonly { readonly edge: E; readonly path: readonly string[] }[] {
  const suspects = suspectsOf(edges, parents);
  if (suspects.size === 0) return [];
  const graph = createGraph(parents);
  const found: { edge: E; path: readonly string[] }[] = [];
  for (const edge of edges) {
    if (!suspects.has(edge.task) || !suspects.has(edge.blocker)) continue;
    const path = graph.pathFrom(edge.blocker, edge.task);
    if (path === undefined) graph.add(edge);
    else found.push({ edge, path: [edge.task, ...path] });
  }
  return found;
}

type Arrow = readonly [from: string, to: string];

/**
 * What is in a circle, or between two of them. In most plans that is nothing, and costs a look at each edge. A task is two points, its start
 * and its end, and an arrow says what comes before what.
 */
function suspectsOf(edges: readonly Edge[], parents: ReadonlyMap<string, string>): ReadonlySet<string> {
  const names = new Set(edges.flatMap(({ task, blocker }) => [task, blocker]));
  for (const name of names) {
    const parent = parents.get(name);
    // A Set goes on to what is added while it is gone through.
    if (parent !== undefined) names.add(parent);
  }
  const arrows = [...names].flatMap((name): Arrow[] => {
    const parent = parents.get(name);
    const own: Arrow = [start(name), end(name)];
    return parent === undefined ? [own] : [own, [start(parent), start(name)], [end(name), end(parent)]];
  });
  for (const { task, blocker } of edges) arrows.push([end(blocker), start(task)]);
  const left = prune(prune(arrows).map(([from, to]): Arrow => [to, from]));
  return new Set(left.flatMap((arrow) => arrow.map((point) => point.slice(1))));
}

/** Takes away, again and again, what nothing leads to. */
function prune(arrows: readonly Arrow[]): readonly Arrow[] {
  const next = new Map<string, string[]>();
  const waits = new Map<string, number>();
  for (const [from, to] of arrows) {
    const others = next.get(from);
    if (others === undefined) next.set(from, [to]);
    else others.push(to);
    waits.set(from, waits.get(from) ?? 0);
    waits.set(to, (waits.get(to) ?? 0) + 1);
  }
  const free = [...waits].flatMap(([point, count]) => (count === 0 ? [point] : []));
  for (let point = free.pop(); point !== undefined; point = free.pop()) {
    waits.delete(point);
    for (const other of next.get(point) ?? []) {
      const count = (waits.get(other) ?? 0) - 1;
      waits.set(other, count);
      if (count === 0) free.push(other);
    }
  }
  return arrows.filter(([from, to]) => waits.has(from) && waits.has(to));
}

const start = (name: string): string => `<${name}`;
const end = (name: string): string => `>${name}`;

/** Who waits for whom, as far as it has been added. */
function createGraph(parents: ReadonlyMap<string, string>) {
  const blockers = new Map<string, string[]>();
  const waiters = new Map<string, string[]>();
  const children = new Map<string, string[]>();
  for (const [child, parent] of parents) push(children, parent, child);

  /** A task, and those above and below it. */
  function related(name: string): string[] {
    const names = [name];
    // An array goes on to what is added while it is gone through.
    for (const each of names) names.push(...(children.get(each) ?? []));
    for (let up = parents.get(name); up !== undefined; up = parents.get(up)) names.push(up);
    return names;
  }
  const ahead = (name: string): string[] => related(name).flatMap((each) => blockers.get(each) ?? []);
  const behind = (name: string): string[] => (waiters.get(name) ?? []).flatMap(related);

  return {
    add({ task, blocker }: Edge): void {
      push(blockers, task, blocker);
      push(waiters, blocker, task);
    },
    /** The shortest way along waits from one to `goal` or to what is above or below it. */
    pathFrom(from: string, goal: string): readonly string[] | undefined {
      const goals = new Set(related(goal));
      if (!meets(walk([from], ahead), goals, walk(goals, behind), from)) return undefined;
      const cameFrom = new Map<string, string>();
      for (const at of walk([from], ahead, cameFrom)) if (goals.has(at)) return pathTo(at, cameFrom);
      return undefined;
    },
  };
}

function push(map: Map<string, string[]>, key: string, value: string): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}

/** Whether there is a way, looked for from both ends, so that it costs what the shorter look does. */
function meets(
  ahead: Generator<string, void>,
  goals: ReadonlySet<string>,
  behind: Generator<string, void>,
  from: string,
): boolean {
  for (;;) {
    const one = ahead.next();
    if (one.done === true) return false;
    if (goals.has(one.value)) return true;
    const other = behind.next();
    if (other.done === true) return false;
    if (other.value === from) return true;
  }
}

/** All that can be reached, the nearest first. */
function* walk(
  starts: Iterable<string>,
  next: (name: string) => readonly string[],
  cameFrom = new Map<string, string>(),
): Generator<string, void> {
  const seen = new Set(starts);
  // A Set goes on to what is added while it is gone through.
  for (const at of seen) {
    yield at;
    for (const other of next(at)) {
      if (seen.has(other)) continue;
      seen.add(other);
      cameFrom.set(other, at);
    }
  }
}

function pathTo(last: string, cameFrom: ReadonlyMap<string, string>): string[] {
  const path: string[] = [];
  for (let at: string | undefined = last; at !== undefined; at = cameFrom.get(at)) path.push(at);
  return path.reverse();
}
