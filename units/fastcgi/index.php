<?php
// Says which of the instances answers. `true`: the environment of the process, not that of the request.
header('Content-Type: text/plain');
printf(
    "hello from PHP %s: %s, instance %s of %s, pid %d\n",
    PHP_VERSION,
    getenv('SOCKMGR_UNIT', true) ?: 'no unit',
    getenv('SOCKMGR_INSTANCE', true) ?: '1',
    getenv('SOCKMGR_INSTANCES', true) ?: '1',
    getmypid(),
);
