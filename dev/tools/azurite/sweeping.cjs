// Preloaded into the emulators of Azure. They sweep up what deleted and replaced things leave, and answer nobody meanwhile, in a
// time that grows with the square of their number. The queues' do so once a minute: 850 ms after 1,100 messages; once a second it is
// milliseconds. The blobs' do so every ten minutes: ten seconds after twenty minutes of tests; they never do here, since a day's
// garbage is smaller than what they may hold.
const fs = require("node:fs");
const path = require("node:path");

const SWEEP_EVERY_MS = { queue: 1000, blob: 24 * 60 * 60 * 1000 };

const emulator = path.dirname(fs.realpathSync(process.argv[1]));
require(path.join(emulator, "utils/constants.js")).DEFAULT_GC_INTERVAL_MS = SWEEP_EVERY_MS[path.basename(emulator)];
