//! The tests of the copy: the mutants that each reaches, and the mutants that they catch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cargo_metadata::Message;

use super::{Copy, Mutant, Place};

/// The time that tests may take beside four times their usual time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The usual time of a test before its first run. A test that takes much longer is left out.
const LONG: Duration = Duration::from_secs(5);

/// The memory of a process of tests, in KiB. A mutant may allocate without end.
const MEMORY: u32 = 6 << 20;

/// The number of tests of a binary that run together. A mutant is caught as soon as one fails.
const TOGETHER: usize = 24;

/// The exit code of `timeout` if it has killed the tests.
const KILLED: i32 = 137;

/// The variable of the environment that switches a mutant on.
const ON: &str = "MUTANT";

/// The variable that names a file for the mutants that are reached.
const RECORD: &str = "MUTANTS_RECORD";

/// The result of a mutant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    Caught,
    Survives,
    NotReached,
}

/// Tries each mutant, and prints those that are not caught.
pub(super) fn run<'a>(
    copy: &Copy<'_>,
    mutants: &'a [Mutant],
    packages: &BTreeSet<&str>,
) -> anyhow::Result<Vec<(&'a Mutant, Outcome)>> {
    check_namespace()?;
    let tests = find(copy, packages)?;
    println!("{} tests", tests.len());
    let record = copy.root.join("recorded");
    std::fs::create_dir_all(&record)?;
    let recorded = in_parallel(tests.into_iter(), |test| {
        let name = format!("{}: {}", test.binary.display(), test.name);
        test.recorded(&record.join(format!("{:x}", super::hash(0, &name))))
    });
    let mut tests: Vec<Test> = recorded.into_iter().flatten().collect();
    tests.sort_by_key(|test| test.took);
    let results = in_parallel(mutants.iter(), |mutant| {
        let outcome = outcome(mutant, &tests);
        let Place { line, column } = mutant.span.start;
        match outcome {
            _ if mutant.is_equivalent => {}
            Outcome::Caught => {}
            Outcome::Survives => println!("survives ({line}:{column}): {}", mutant.name),
            Outcome::NotReached => println!("is not reached ({line}:{column}): {}", mutant.name),
        }
        (mutant, outcome)
    });
    Ok(results)
}

fn outcome(mutant: &Mutant, tests: &[Test]) -> Outcome {
    // The tests of its own package are the likeliest to catch it.
    let mut of_binary: BTreeMap<(bool, &Path), Vec<&Test>> = BTreeMap::new();
    for test in tests
        .iter()
        .filter(|test| test.reaches.contains(&mutant.id))
    {
        let is_other = !test.directory.ends_with(&mutant.package);
        of_binary
            .entry((is_other, &test.binary))
            .or_default()
            .push(test);
    }
    let mut together = of_binary.values().flat_map(|tests| tests.chunks(TOGETHER));
    let on = mutant.id.to_string();
    match together.any(|tests| catch(tests, &on)) {
        true => Outcome::Caught,
        false if of_binary.is_empty() => Outcome::NotReached,
        false => Outcome::Survives,
    }
}

/// Whether tests of one binary fail with a mutant, pass without it, and fail with it again.
fn catch(tests: &[&Test], mutant: &str) -> bool {
    let end = end_of(tests, ON, mutant);
    if end == End::Pass {
        return false;
    }
    // A test that fails now and then, whatever is switched on, rarely fails twice.
    let fail_again = || end == End::Hang || end_of(tests, ON, mutant) != End::Pass;
    let is_by_mutant = || end_of(tests, ON, "none") == End::Pass && fail_again();
    // Tests that disturb each other are tried one by one.
    let is_caught_alone = || tests.len() > 1 && tests.chunks(1).any(|one| catch(one, mutant));
    is_by_mutant() || is_caught_alone()
}

/// How a run of tests ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Pass,
    Fail,
    /// Their time was over.
    Hang,
}

/// A test, and the mutants that it reaches.
struct Test {
    binary: PathBuf,
    directory: PathBuf,
    name: String,
    took: Duration,
    reaches: BTreeSet<usize>,
}

impl Test {
    /// Runs the test alone, and learns what it reaches. `None` if it fails or takes long. Another run learns nothing
    /// new from the same binary.
    fn recorded(mut self, file: &Path) -> Option<Self> {
        let note = file.with_extension("took");
        let time = |file: &Path| file.metadata().and_then(|it| it.modified()).ok();
        if time(&note) <= time(&self.binary) {
            for old in [file, &*note] {
                let _ = std::fs::remove_file(old);
            }
            let began = Instant::now();
            if end_of(&[&self], RECORD, &file.to_string_lossy()) != End::Pass {
                println!("left out, because it fails or takes long: {}", self.name);
                return None;
            }
            let took = began.elapsed().as_nanos().to_string();
            std::fs::write(&note, took).ok()?;
        }
        let took = std::fs::read_to_string(&note).ok()?;
        self.took = Duration::from_nanos(took.parse().ok()?);
        let recorded = std::fs::read(file).unwrap_or_default();
        let ids = recorded.iter().enumerate().filter(|(_, byte)| **byte != 0);
        self.reaches = ids.map(|(id, _)| id).collect();
        Some(self)
    }
}

/// Runs tests of one binary, with limits of time and memory, in a namespace of processes of their own.
///
/// A mutant may send a signal to all processes that it can reach, which are those of the namespace. All of them end
/// with the shell, which is the namespace's first process. Until then it reaps those whose parent has ended.
fn end_of(tests: &[&Test], variable: &str, value: &str) -> End {
    let usual: Duration = tests.iter().map(|test| test.took).sum();
    let seconds = (PATIENCE + 4 * usual).as_secs();
    // Names of temporary files have numbers of processes, which other namespaces have too.
    let limited = format!(
        "ulimit -v {MEMORY}; export TMPDIR=$(mktemp -d); timeout -s KILL {seconds} \"$@\"; \
         end=$?; rm -rf \"$TMPDIR\"; exit $end"
    );
    let Test {
        binary, directory, ..
    } = tests[0];
    let mut command = in_namespace();
    command.args(["sh", "-c", &limited, "sh"]).arg(binary);
    command
        .args(tests.iter().map(|test| &test.name))
        .args(["--exact", "--test-threads=4"]);
    command
        .env(variable, value)
        .env("CARGO_MANIFEST_DIR", directory)
        .current_dir(directory);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.status().map(|status| status.code()) {
        Ok(Some(0)) => End::Pass,
        Ok(None | Some(KILLED)) => End::Hang,
        _ => End::Fail,
    }
}

/// The options of `unshare` for a new namespace of processes, with a `/proc` of these.
const NAMESPACE: &[&str] = &["--pid", "--fork", "--kill-child", "--mount-proc"];

/// The options that give other users the right to make one.
const NAMESPACE_OF_USERS: &[&str] = &["--user", "--map-root-user"];

/// Whether this user has the right to make the namespace.
static IS_ALLOWED: LazyLock<bool> = LazyLock::new(|| {
    let output = Command::new("unshare").args(NAMESPACE).arg("true").output();
    output.is_ok_and(|output| output.status.success())
});

/// A command whose arguments are a program, which runs in a new namespace of processes.
fn in_namespace() -> Command {
    let mut command = Command::new("unshare");
    if !*IS_ALLOWED {
        command.args(NAMESPACE_OF_USERS);
    }
    command.args(NAMESPACE);
    command
}

/// Refuses a machine on which a mutant could end the processes of its user.
fn check_namespace() -> anyhow::Result<()> {
    let output = in_namespace().arg("true").output();
    match output.context("mutants need `unshare`, of util-linux on Linux")? {
        output if output.status.success() => Ok(()),
        output => bail!(
            "mutants need a namespace of processes, which `unshare` does not make here: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Builds the tests of packages, and lists them.
fn find(copy: &Copy<'_>, packages: &BTreeSet<&str>) -> anyhow::Result<Vec<Test>> {
    let (has_built, messages) = copy.cargo(&["test", "--no-run", "--lib", "--tests"], packages)?;
    if !has_built {
        bail!("the tests of the copy do not build");
    }
    let mut tests = Vec::new();
    for message in messages {
        let Message::CompilerArtifact(artifact) = message else {
            continue;
        };
        // Programs that must not compile see no mutant.
        let is_run = artifact.profile.test && artifact.target.name != "compile_fail";
        let Some(binary) = artifact.executable.filter(|_| is_run) else {
            continue;
        };
        let directory = artifact
            .manifest_path
            .parent()
            .context("a manifest is in a directory")?;
        let mut list = Command::new(&binary);
        let list = list
            .args(["--list", "--format=terse"])
            .current_dir(directory)
            .output()?;
        let list = String::from_utf8(list.stdout)?;
        for name in list.lines().filter_map(|line| line.strip_suffix(": test")) {
            tests.push(Test {
                binary: binary.clone().into(),
                directory: directory.into(),
                name: name.to_owned(),
                took: LONG,
                reaches: BTreeSet::new(),
            });
        }
    }
    Ok(tests)
}

/// Calls a function for each item, for twice as many at a time as there are cores, as some tests only wait. The results
/// have no order.
fn in_parallel<T, R: Send>(
    items: impl Iterator<Item = T> + Send,
    f: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let items = Mutex::new(items);
    let next = || items.lock().expect("no worker panics").next();
    let work = || std::iter::from_fn(next).map(&f).collect::<Vec<R>>();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2 * cores).map(|_| scope.spawn(work)).collect();
        let results = workers
            .into_iter()
            .map(|worker| worker.join().expect("no worker panics"));
        results.flatten().collect()
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Runs a script as a test does, in a directory of its own.
    fn run_script(name: &str, script: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(name), script).unwrap();
        let test = Test {
            binary: "sh".into(),
            directory: directory.clone(),
            name: name.to_owned(),
            took: Duration::ZERO,
            reaches: BTreeSet::new(),
        };
        assert!(end_of(&[&test], ON, "none") == End::Pass);
        directory
    }

    fn has_namespaces() -> bool {
        let result = check_namespace();
        if let Err(error) = &result {
            eprintln!("NOT TESTED: {error:#}");
        }
        result.is_ok()
    }

    /// As a worker process of a pool, which ends by itself only if its mutants let it.
    #[test]
    fn a_process_in_a_group_of_its_own_ends_with_its_test() {
        if !has_namespaces() {
            return;
        }
        let name = format!("1000.{}", std::process::id());
        // With job control, a job in the background has a group of its own.
        let directory = run_script("leaves-a-process", &format!("set -m\nsleep {name} &\n"));
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let mut commands = all.map(|process| std::fs::read(process.path().join("cmdline")));
        // That of a process that has ended is empty.
        let is_left = |command: &[u8]| command == format!("sleep\0{name}\0").as_bytes();
        assert!(!commands.any(|command| command.is_ok_and(|command| is_left(&command))));
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_test_reaches_no_process_outside() {
        if !has_namespaces() {
            return;
        }
        let directory = run_script(
            "tells-its-namespace",
            "readlink /proc/self/ns/pid > namespace",
        );
        let inside = std::fs::read_to_string(directory.join("namespace")).unwrap();
        let outside = std::fs::read_link("/proc/self/ns/pid").unwrap();
        assert_ne!(inside.trim(), outside.to_str().unwrap());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
