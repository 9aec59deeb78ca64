#!/usr/bin/env node
import { runCommand } from './cli/commands.js';

process.exitCode = await runCommand(process.argv.slice(2));
