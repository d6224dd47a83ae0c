// Runs the scenario with this name: `node run.mjs values`. `FLEET` is the path of the program.
import { killAll } from "./programs.mjs";
import { scenarios } from "./scenarios.mjs";

const scenario = scenarios[process.argv[2]];
if (!scenario) throw new Error(`not a scenario: ${process.argv[2]}; there are ${Object.keys(scenarios).join(", ")}`);
try {
  await scenario();
  killAll();
  process.exit(0);
} catch (error) {
  killAll();
  console.error(error);
  process.exit(1);
}
