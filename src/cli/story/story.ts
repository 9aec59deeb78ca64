import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  createMusterClient,
  DiffSide,
  GateScopeType,
  GateStatus,
  type MusterClient,
  TaskKind,
  TaskStatus,
  Role,
} from '../../client/index.js';
import type { Stage } from '../demo-stage.js';
import { CommandError, exitCodes } from '../errors.js';
import { stdout } from '../output.js';
import { cliHeaders } from '../server-access.js';
import { createNarrator, type Narrator } from './narrator.js';
import { git, makeRepository } from './repository.js';

/** Has a task go all its way, through gates and reviews, and shows what the ledger tells of it. */
export async function playStory(stage: Stage): Promise<void> {
  const { url, dir, early, onEnd } = stage;
  const connect = (token?: string): MusterClient => {
    const client = createMusterClient({ url, token, headers: cliHeaders });
    onEnd(async () => client.close());
    return client;
  };
  const root = path.join(dir, 'calculator');
  await mkdir(root);
  await makeRepository(root);
  const before = await stateOf(root);

  const names = new Map<string, string>();
  // Until there is a token, whoever is on this machine is the human.
  let human = connect();
  const make = async (name: string, role: Role, capabilities: string[] = []): Promise<string> => {
    const { id, secret } = await human.tokens.createToken({ name, role, capabilities });
    names.set(id, name);
    return secret;
  };
  human = connect(await make('you', Role.HUMAN));
  stdout.line(`  Ready at ${url}. This is its ledger, as it is written:\n`);
  const narrator = createNarrator(human, stdout, {
    signal: early.signal,
    onFailed: (error) => early.end(error),
    names,
  });
  const coder = await make('coder', Role.AGENT, ['tasks.execute', 'learnings.write', 'gates.read']);
  const reviewer = connect(await make('reviewer', Role.AGENT, ['reviews.agent']));

  const { repo } = await human.repos.registerRepo({ path: root });
  const repoId = repo?.id ?? '';
  const { milestoneId, taskId } = await plan(human, repoId);
  startCoder(stage, { token: coder, repoId });

  await narrator.until('ReviewPhaseChanged', ({ payload }) => payload?.['status'] === 'AgentPending');
  const reviewId = (await human.reviews.getActiveReview({ id: taskId })).review?.id ?? '';
  await narrator.until('LearningAdded');
  await review(reviewer, reviewId);
  await narrator.until('ReviewPhaseChanged', ({ payload }) => payload?.['status'] === 'HumanPending');
  await approve(human, reviewId);
  await narrator.until('LearningBubbled');
  await tell(human, { milestoneId, taskId, root, before, narrator });
}

async function plan(human: MusterClient, repoId: string): Promise<{ milestoneId: string; taskId: string }> {
  const milestone = await human.tasks.createTask({
    repoId,
    kind: TaskKind.MILESTONE,
    description: 'A calculator to rely on',
  });
  const milestoneId = milestone.task?.id ?? '';
  await human.gates.createGate({
    scope: { type: GateScopeType.TASK, id: milestoneId },
    name: 'fixme',
    command: '! grep -rn FIXME --exclude-dir=.git .',
  });
  const { task } = await human.tasks.createTask({
    repoId,
    parentId: milestoneId,
    kind: TaskKind.TASK,
    description: 'sum() must add',
  });
  return { milestoneId, taskId: task?.id ?? '' };
}

/** The agent, as a process of its own. */
function startCoder(
  { url, early, onEnd }: Stage,
  { token, repoId }: { readonly token: string; readonly repoId: string },
) {
  const program = fileURLToPath(new URL('coder.js', import.meta.url));
  const env = { PATH: process.env['PATH'], MUSTER_URL: url, MUSTER_TOKEN: token, DEMO_REPO_ID: repoId };
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<void>((resolve) => {
    child.once('close', (code) => {
      if (code !== 0) early.end(new CommandError(`the agent ended with ${code}: ${said.trim()}`, exitCodes.failed));
      resolve();
    });
    child.once('error', (error) => early.end(error));
  });
  onEnd(async () => {
    child.kill('SIGKILL');
    await ended;
  });
}

async function review(reviewer: MusterClient, reviewId: string): Promise<void> {
  const { diff } = await reviewer.reviews.getReviewDiff({ id: reviewId });
  const file = diff?.files.find(({ path: name }) => name === 'sum.mjs');
  await reviewer.reviews.addComment({
    id: reviewId,
    filePath: file?.path ?? '',
    side: DiffSide.RIGHT,
    lineStart: 2,
    body: 'Good. It would join strings, which nobody asks it to.',
  });
  await reviewer.reviews.approveReview({ id: reviewId, headCommit: diff?.head ?? '' });
}

async function approve(human: MusterClient, reviewId: string): Promise<void> {
  const { review: seen } = await human.reviews.getReview({ id: reviewId });
  await human.reviews.approveReview({ id: reviewId, headCommit: seen?.headCommit ?? '' });
}

interface Told {
  readonly milestoneId: string;
  readonly taskId: string;
  readonly root: string;
  readonly before: string;
  readonly narrator: Narrator;
}

/** What has come of it, read anew. */
async function tell(human: MusterClient, { milestoneId, taskId, root, before }: Told): Promise<void> {
  const { bold, dim, green, red } = stdout.style;
  const { task } = await human.tasks.getTask({ id: taskId });
  const { reviews } = await human.reviews.listReviews({ id: taskId });
  stdout.line(`\n  ${bold('What came of it')}`);
  for (const [index, { id, headCommit, headTree }] of reviews.entries()) {
    stdout.line(`  Round ${index + 1}: commit ${headCommit.slice(0, 10)}, tree ${headTree?.slice(0, 10)}`);
    const { results } = await human.gates.listGateResults({ reviewId: id });
    for (const { name, status, attempt, exitCode } of results) {
      const passed = status === GateStatus.PASSED;
      const word = passed ? green('passed') : red('failed');
      stdout.line(`    ${name.padEnd(8)} ${word} ${dim(`(attempt ${attempt}, exit code ${exitCode})`)}`);
    }
  }
  const { learnings } = await human.learnings.listLearnings({ taskId: milestoneId });
  stdout.line(`  The milestone has learned: ${learnings.map(({ content }) => content).join(' ')}`);
  const branch = task?.vcs?.refName ?? '';
  stdout.line(`  The task is Completed. Its work is on ${branch}, ready to be merged:`);
  const diff = await git(root, 'diff', '--unified=0', `main...${branch}`, '--', 'sum.mjs');
  for (const line of diff.split('\n').filter((each) => /^[-+] /.test(each))) {
    stdout.line(`    ${(line.startsWith('+') ? green : red)(line)}`);
  }
  const isUntouched = (await stateOf(root)) === before;
  stdout.line(`  Your own checkout is ${isUntouched ? 'as it was' : 'changed'}.`);
  const isRight = task?.task?.status === TaskStatus.COMPLETED && reviews.length === 2 && learnings.length === 1;
  if (!isRight || !isUntouched) throw new CommandError('the story did not end as it should', exitCodes.failed);
}

/** All that must not change of a checkout: where it is, and what is in it. */
async function stateOf(root: string): Promise<string> {
  const head = await git(root, 'rev-parse', 'HEAD', '--symbolic-full-name', 'HEAD');
  return `${head}\n${await git(root, 'status', '--porcelain', '--ignored')}`;
}
