import { AppError, messageOf } from '../errors.js';
import { readFlags } from '../platform/config.js';
import { serverSettings } from '../settings.js';
import { serve } from './serve.js';

export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    const [command = 'serve', ...rest] = args[0]?.startsWith('-') === true ? ['serve', ...args] : args;
    if (command === 'serve') {
      const { values } = readFlags(
        rest,
        Object.values(serverSettings).map((each) => each.flag),
      );
      return await serve(values);
    }
    throw new AppError('invalid_request', `There is no command '${command}'; see muster --help.`);
  } catch (error) {
    process.stderr.write(`muster: ${error instanceof AppError ? error.message : messageOf(error)}\n`);
    if (!(error instanceof AppError)) process.stderr.write(`${(error as Error).stack ?? ''}\n`);
    return 1;
  }
}
