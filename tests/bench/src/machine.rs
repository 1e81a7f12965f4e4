//! The origin of the figures: machine, compiler, versions, day.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The versions of the dependencies, from the lock file of this build.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The machine and the tools.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    pub(crate) day: String,
}

impl Machine {
    /// This machine, today.
    pub(crate) fn here() -> Self {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        // The text after the numbers names the build of one machine.
        let numbers = release.split(['-', '+']).next().unwrap_or_default();
        Self {
            processor: processor().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: format!("{} {numbers}", uname.sysname().to_string_lossy()),
            compiler: compiler().unwrap_or_else(|| "unknown".to_owned()),
            day: day(SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs())),
        }
    }
}

fn processor() -> Option<String> {
    let described = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = described
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn compiler() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    let version = version.split_whitespace().nth(1)?;
    Some(format!("rustc {version}"))
}

/// The version of a package in the lock file.
pub(crate) fn version(package: &str) -> Option<&'static str> {
    let entry = format!("\nname = \"{package}\"\nversion = \"");
    let (_, rest) = LOCK.split_once(&entry)?;
    rest.split('"').next()
}

/// The day, as year-month-day, this number of seconds after the beginning of 1970.
fn day(seconds: u64) -> String {
    // Years begin in March, so that a leap day is the last day of its year.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(951_782_400), "2000-02-29");
        assert_eq!(day(1_798_761_599), "2026-12-31");
    }

    #[test]
    fn the_lock_file_tells_the_versions() {
        assert!(version("tokio").unwrap().starts_with("1."));
        assert_eq!(version("no-such-package"), None);
    }
}
