//! An unmodified console shows what a program does: this speaks the console's own protocol.
//!
//! The subscriber insists on a cfg, with which `cargo xtask test` builds these tests.
#![cfg(console_without_tokio_unstable)]
#![cfg(unix)]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use console_api::field::Value;
use console_api::instrument::instrument_client::InstrumentClient;
use console_api::instrument::{InstrumentRequest, Update};
use console_api::{Field, Location};

/// A program that is killed in the end.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The data that a console has about a program.
#[derive(Debug, Default)]
struct Shown {
    tasks: BTreeMap<u64, Task>,
    resources: BTreeMap<u64, Resource>,
    /// For each wait that was seen: the name of the task, the type of the resource, and the operation.
    waits: BTreeMap<u64, (Option<u64>, u64, String)>,
}

#[derive(Debug)]
struct Task {
    fields: BTreeMap<String, String>,
    place: String,
    polls: u64,
    wakes: u64,
    self_wakes: u64,
}

#[derive(Debug)]
struct Resource {
    concrete_type: String,
    kind: String,
    place: String,
    attributes: BTreeMap<String, String>,
}

fn named(fields: &[Field]) -> BTreeMap<String, String> {
    use console_api::field::Name;
    let named = fields.iter().filter_map(|field| {
        let name = match field.name.as_ref()? {
            Name::StrName(name) => name.clone(),
            Name::NameIdx(_) => return None,
        };
        let value = match field.value.as_ref()? {
            Value::DebugVal(value) | Value::StrVal(value) => value.clone(),
            Value::U64Val(value) => value.to_string(),
            Value::I64Val(value) => value.to_string(),
            Value::BoolVal(value) => value.to_string(),
        };
        Some((name, value))
    });
    named.collect()
}

fn place(location: Option<Location>) -> String {
    let location = location.unwrap_or_default();
    let file = location.file.unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or_default().to_owned();
    format!("{name}:{}", location.line.unwrap_or_default())
}

impl Shown {
    fn update(&mut self, update: Update) {
        let tasks = update.task_update.unwrap_or_default();
        for task in tasks.new_tasks {
            let fields = named(&task.fields);
            let place = place(task.location);
            let task_seen = Task {
                fields,
                place,
                polls: 0,
                wakes: 0,
                self_wakes: 0,
            };
            self.tasks.insert(task.id.unwrap().id, task_seen);
        }
        for (id, stats) in tasks.stats_update {
            let Some(task) = self.tasks.get_mut(&id) else {
                continue;
            };
            task.polls = stats.poll_stats.unwrap_or_default().polls;
            (task.wakes, task.self_wakes) = (stats.wakes, stats.self_wakes);
        }
        let resources = update.resource_update.unwrap_or_default();
        for resource in resources.new_resources {
            use console_api::resources::resource::kind::{Kind, Known};
            let kind = match resource.kind.and_then(|kind| kind.kind) {
                Some(Kind::Other(kind)) => kind,
                Some(Kind::Known(known)) if known == Known::Timer as i32 => "a timer".to_owned(),
                _ => String::new(),
            };
            let seen = Resource {
                concrete_type: resource.concrete_type,
                kind,
                place: place(resource.location),
                attributes: BTreeMap::new(),
            };
            self.resources.insert(resource.id.unwrap().id, seen);
        }
        for (id, stats) in resources.stats_update {
            if let Some(resource) = self.resources.get_mut(&id) {
                let attributes = stats.attributes.into_iter().filter_map(|it| it.field);
                let attributes: Vec<_> = attributes.collect();
                resource.attributes.extend(named(&attributes));
            }
        }
        let waits = update.async_op_update.unwrap_or_default();
        for wait in waits.new_async_ops {
            let resource = wait.resource_id.unwrap().id;
            let seen = (None, resource, wait.source);
            self.waits.insert(wait.id.unwrap().id, seen);
        }
        for (id, stats) in waits.stats_update {
            if let Some(wait) = self.waits.get_mut(&id) {
                wait.0 = stats.task_id.map(|task| task.id).or(wait.0);
            }
        }
    }

    fn task(&self, field: &str, value: &str) -> Option<&Task> {
        let mut tasks = self.tasks.values();
        tasks.find(|task| task.fields.get(field).is_some_and(|is| is == value))
    }

    /// Whether that task has waited for a resource of that type.
    fn has_waited(&self, name: &str, concrete_type: &str, operation: &str) -> bool {
        self.waits.values().any(|(task, resource, source)| {
            let task = task.and_then(|task| self.tasks.get(&task));
            let resource = self.resources.get(resource);
            task.is_some_and(|task| task.fields.values().any(|value| value == name))
                && resource.is_some_and(|resource| resource.concrete_type == concrete_type)
                && source == operation
        })
    }

    fn is_complete(&self) -> bool {
        self.has_waited("clock", "Sleep", "sleep")
            && ["Ada", "Bob"].iter().all(|cook| {
                self.has_waited(cook, "Lock", "lock") && self.has_waited(cook, "Sleep", "sleep")
            })
            && self.has_waited("block_on", "Queue", "put")
            && self
                .task("task.name", "clock")
                .is_some_and(|task| task.wakes >= 3)
    }
}

#[tokio::test]
async fn a_console_shows_tasks_children_sleeps_locks_and_queues_with_places() {
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let program = Command::new(env!("CARGO_BIN_EXE_console_tasks"))
        .env("TOKIO_CONSOLE_BIND", address.to_string())
        .env("TOKIO_CONSOLE_PUBLISH_INTERVAL", "50ms")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _program = Program(program);

    let patience = Instant::now() + Duration::from_secs(30);
    let url = format!("http://{address}");
    let mut console = loop {
        match InstrumentClient::connect(url.clone()).await {
            Ok(console) => break console,
            Err(error) => assert!(Instant::now() < patience, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let updates = console.watch_updates(InstrumentRequest {}).await.unwrap();
    let mut updates = updates.into_inner();
    let mut shown = Shown::default();
    while !shown.is_complete() {
        assert!(Instant::now() < patience, "{shown:#?}");
        shown.update(updates.message().await.unwrap().unwrap());
    }

    let main = shown.task("kind", "block_on").unwrap();
    assert!(main.place.starts_with("console_tasks.rs:"), "{main:?}");
    for name in ["clock", "Ada", "Bob"] {
        let task = shown.task("task.name", name).unwrap();
        assert!(task.place.starts_with("console_tasks.rs:"), "{task:?}");
        assert_eq!(
            [&task.fields["kind"], &task.fields["task.parent"]],
            ["task", "1"]
        );
        assert!(task.polls >= 2 && task.self_wakes == 0, "{task:?}");
    }
    // Another line for each.
    let places = ["clock", "Ada"].map(|name| &shown.task("task.name", name).unwrap().place);
    assert_ne!(places[0], places[1]);
    for (concrete_type, kind) in [("Lock", "sync"), ("Queue", "sync"), ("Sleep", "a timer")] {
        let mut all = shown.resources.values();
        let resource = all
            .find(|resource| resource.concrete_type == concrete_type)
            .unwrap();
        assert_eq!(resource.kind, kind);
        assert!(
            resource.place.starts_with("console_tasks.rs:"),
            "{resource:?}"
        );
    }
    let mut all = shown.resources.values();
    let oven = all
        .find(|resource| resource.concrete_type == "Lock")
        .unwrap();
    assert!(oven.attributes.contains_key("waiters"), "{oven:?}");
}
