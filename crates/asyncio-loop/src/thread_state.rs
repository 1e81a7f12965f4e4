//! The state of a thread, as Linux tells it to other threads of its process.

/// The number of a thread in its system. `None` where other threads cannot ask what it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadNumber(Option<i32>);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl ThreadNumber {
    /// The number of this thread.
    pub(crate) fn here() -> Self {
        Self(Some(rustix::thread::gettid().as_raw_pid()))
    }

    /// Whether the thread computes or waits, in words.
    pub(crate) fn doing(self) -> Option<String> {
        let file =
            |name| std::fs::read_to_string(format!("/proc/self/task/{}/{name}", self.0?)).ok();
        let place = file("wchan");
        in_words(&file("stat")?, place.as_deref())
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl ThreadNumber {
    pub(crate) fn here() -> Self {
        Self(None)
    }

    pub(crate) fn doing(self) -> Option<String> {
        let _unknown = self.0?;
        None
    }
}

/// The words for the files `stat` and `wchan` of a thread.
#[cfg(any(target_os = "linux", target_os = "android", test))]
fn in_words(stat: &str, place: Option<&str>) -> Option<String> {
    // The name of the thread comes first, in brackets, and may have brackets in it.
    let (_name, rest) = stat.rsplit_once(')')?;
    match rest.trim_start().chars().next()? {
        'R' => Some("it computes".to_owned()),
        'S' | 'D' => Some(match place.map(str::trim) {
            None | Some("" | "0") => "it waits in the kernel".to_owned(),
            Some(place) => format!("it waits in the kernel's {place}"),
        }),
        // Stopped, or about to end.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_whether_it_computes_or_waits() {
        let words = |stat, place| in_words(stat, place);
        assert_eq!(
            words("7 (main) R 1 7", Some("0")),
            Some("it computes".to_owned())
        );
        let waits = Some("it waits in the kernel's pipe_read".to_owned());
        assert_eq!(words("7 (a) (b)) S 1", Some("pipe_read")), waits);
        let waits = Some("it waits in the kernel".to_owned());
        assert_eq!(words("7 (main) D 1", Some("0")), waits);
        assert_eq!(words("7 (main) S 1", None), waits);
        assert_eq!(words("7 (main) T 1", None), None);
        assert_eq!(words("nonsense", None), None);
    }
}
