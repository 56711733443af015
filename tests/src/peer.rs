//! Managers that are driven by the scripts in `vectors/`, with the same words: ours, and `systemd --user` to compare it with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::built;
use crate::command::Ran;

/// A manager of its own, which runs until its value goes.
#[derive(Debug)]
pub struct Peer {
    script: PathBuf,
}

impl Peer {
    /// sockmgr, as a user's manager. It is started by its first command.
    #[must_use]
    pub fn sockmgr(base: &Path) -> Self {
        Self::new("peer_sockmgr.sh", base)
    }

    /// systemd, the same. Only for root: it wants a control group of its own.
    #[must_use]
    pub fn systemd(base: &Path) -> Self {
        Self::new("peer_systemd.sh", base)
    }

    /// With all that is its own in `base`.
    fn new(name: &str, base: &Path) -> Self {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
        let script = base.with_extension("sh");
        let group = format!("sockmgr-tests-{}", std::process::id());
        let text = format!(
            "#!/bin/bash\nexport VEC_BASE={} VEC_CG={group} SOCKMGR={} SOCKMGRD={}\nexec {} \"$@\"\n",
            base.display(),
            built::sockmgr().display(),
            built::sockmgrd().display(),
            vectors.join(name).display()
        );
        std::fs::write(&script, text).expect("a script can be written");
        Ran::of(Command::new("chmod").arg("+x").arg(&script)).ok();
        Self { script }
    }

    /// What others call it with.
    #[must_use]
    pub fn script(&self) -> &Path {
        &self.script
    }

    /// One of its commands.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(Command::new(&self.script).args(words))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may not have been started at all.
        drop(Command::new(&self.script).arg("down").status());
    }
}
