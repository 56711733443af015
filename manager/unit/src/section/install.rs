//! `[Install]`: what `enable` and `disable` do; without effect on a running unit (systemd.unit(5)).

use super::InstallNames;
use crate::directive::section;

section! {
    /// The `[Install]` section.
    pub struct InstallSection in Install {
        /// Units that want this one when it is enabled.
        wanted_by: InstallNames = InstallNames::default() => - {
            "WantedBy": "Units, mostly sockets.target, that start this one when it is enabled";
        }
        /// Units that require this one when it is enabled.
        required_by: InstallNames = InstallNames::default() => - {
            "RequiredBy": "Units that start this one when it is enabled, and need it";
        }
        /// Units that uphold this one when it is enabled.
        upheld_by: InstallNames = InstallNames::default() => - {
            "UpheldBy": "Units that start this one when it is enabled, and again whenever it is down while they are up";
        }
        /// Other names of the unit when it is enabled.
        alias: InstallNames = InstallNames::default() => - {
            "Alias": "Other names of the unit while it is enabled";
        }
        /// Units to enable and disable together with this one.
        also: InstallNames = InstallNames::default() => - {
            "Also": "Units that are enabled and disabled together with this one";
        }
        /// The instance that is enabled when the template is.
        default_instance: Option<Box<str>> = None => - {
            "DefaultInstance": "The instance that is enabled when its template is";
        }
    }
}
