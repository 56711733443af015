//! Trees of text: the branches of list-dependencies, and the processes below a control group.
//!
//! Layout only. Invariant: the last entry of a level has the corner, the others the tee.

use std::collections::BTreeMap;

use super::manager::UnitProcess;

/// What to draw before an entry, by whether it is the last of its level.
pub(crate) fn branch(last: bool) -> &'static str {
    if last { "└─" } else { "├─" }
}

/// What to draw before the entries below an entry.
pub(crate) fn trunk(last: bool) -> &'static str {
    if last { "  " } else { "│ " }
}

/// A control group with its processes and the groups below it.
#[derive(Default)]
struct Group<'a> {
    processes: Vec<(u32, &'a str)>,
    groups: BTreeMap<&'a str, Group<'a>>,
}

/// The processes as lines below the control group `root`, each cut to `width` characters where that is given.
pub(crate) fn processes(root: &str, rows: &[UnitProcess], width: Option<usize>) -> Vec<String> {
    let mut top = Group::default();
    for (path, pid, command) in rows {
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
        let mut group = &mut top;
        for part in below.split('/').filter(|part| !part.is_empty()) {
            group = group.groups.entry(part).or_default();
        }
        group.processes.push((*pid, command));
    }
    let mut lines = Vec::new();
    draw(&mut top, "", &mut lines);
    let cut = |line: String| width.map_or_else(|| line.clone(), |width| super::table::shorten(&line, width));
    lines.into_iter().map(cut).collect()
}

fn draw(group: &mut Group<'_>, prefix: &str, lines: &mut Vec<String>) {
    group.processes.sort_unstable();
    let digits = group.processes.iter().map(|(pid, _)| pid.to_string().len()).max().unwrap_or(0);
    let mut left = group.processes.len() + group.groups.len();
    for (pid, command) in &group.processes {
        left -= 1;
        lines.push(format!("{prefix}{}{pid:>digits$} {command}", branch(left == 0)));
    }
    for (name, below) in &mut group.groups {
        left -= 1;
        lines.push(format!("{prefix}{}{name}", branch(left == 0)));
        draw(below, &format!("{prefix}{}", trunk(left == 0)), lines);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn processes_hang_below_their_groups() {
        let row = |path: &str, pid: u32, command: &str| (path.to_owned(), pid, command.to_owned());
        let rows = [
            row("/user/web.slice/web@1.service", 4711, "/usr/bin/web --port 80"),
            row("/user/web.slice/web@1.service", 12, "sh"),
            row("/user/init.scope", 1, "sockmgrd"),
        ];
        expect![[r#"
            ├─init.scope
            │ └─1 sockmgrd
            └─web.slice
              └─web@1.service
                ├─  12 sh
                └─4711 /usr/bin/web --port 80"#]]
        .assert_eq(&processes("/user", &rows, None).join("\n"));
        assert_eq!(processes("/user/init.scope", &rows[2..], Some(8)), ["└─1 soc…"]);
        assert!(processes("/user", &[], None).is_empty());
    }
}
