import { getOption, hasOption, type DescEnum } from '@bufbuild/protobuf';
import { word as wordOption } from '../../../gen/muster/v1/options_pb.js';

/** The documented words of an enum, both ways. The unspecified value has no word. */
export interface EnumWords {
  readonly words: readonly string[];
  toWord(number: number): string | undefined;
  toNumber(word: string): number | undefined;
}

const cache = new WeakMap<DescEnum, EnumWords>();

/** Throws when a value other than zero has no word, or another one's. */
export function enumWords(desc: DescEnum): EnumWords {
  const known = cache.get(desc);
  if (known !== undefined) return known;
  const byNumber = new Map<number, string>();
  const byWord = new Map<string, number>();
  for (const value of desc.values) {
    if (value.number === 0) continue;
    if (!hasOption(value, wordOption)) throw new Error(`${desc.typeName}: ${value.name} has no word`);
    const word = getOption(value, wordOption);
    if (byWord.has(word)) throw new Error(`${desc.typeName}: the word '${word}' is there twice`);
    byNumber.set(value.number, word);
    byWord.set(word, value.number);
  }
  const made: EnumWords = {
    words: [...byWord.keys()],
    toWord: (number) => byNumber.get(number),
    toNumber: (word) => byWord.get(word),
  };
  cache.set(desc, made);
  return made;
}
