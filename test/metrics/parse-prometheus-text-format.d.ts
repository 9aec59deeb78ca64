/** The package has no types of its own. */
declare module 'parse-prometheus-text-format' {
  /** Throws for a line that is none of the format. */
  export default function parsePrometheus(text: string): readonly {
    readonly name: string;
    readonly help: string;
    readonly type: string;
    readonly metrics: readonly unknown[];
  }[];
}
