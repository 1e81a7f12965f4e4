//! A failing child of a group: its siblings are cancelled and clean up, and then the group returns.

use std::io;
use std::time::Duration;

use asyncio::{BoxError, TaskGroup, on_cancel, sleep, task_group};

use crate::scene::{Report, Scene, Stage, promise};
use crate::timeline::{Pen, Timeline};
use crate::words::seconds;

pub(crate) const SCENE: Scene = Scene {
    title: "One fails, its siblings clean up",
    play: |stage| Box::pin(play(stage)),
};

async fn play(stage: Stage) -> io::Result<Report> {
    let unit = stage.size(Duration::from_millis(20), Duration::from_millis(5));
    let timeline = Timeline::new();
    let start = std::time::Instant::now();
    let sibling = async |name, takes: u32, cleanup: u32| {
        timeline.draws(name, Pen::Works);
        let cleanup = async {
            timeline.draws(name, Pen::CleansUp);
            sleep(unit * cleanup).await;
            timeline.ends(name, "rolled back");
        };
        on_cancel(sleep(unit * takes), cleanup).await;
        timeline.ends(name, "done");
        Ok::<(), BoxError>(())
    };

    timeline.draws("group", Pen::Waits);
    let outcome = task_group(async |tg: TaskGroup<'_>| {
        tg.spawn(sibling("mail", 4, 1));
        tg.spawn(async {
            timeline.draws("disk", Pen::Works);
            sleep(unit * 8).await;
            timeline.ends("disk", "fails: disk full");
            Err::<(), BoxError>("disk full".into())
        });
        tg.spawn(sibling("ledger", 1_000, 4));
        tg.spawn(sibling("upload", 1_000, 9));
        Ok(())
    })
    .await;
    timeline.ends("group", "returns the error");
    let took = start.elapsed();

    let told = outcome.err().map(|errors| errors.to_string());
    promise(
        told.as_deref() == Some("1 task failed\n└─ disk full"),
        || format!("the group told something else: {told:?}"),
    )?;
    for sibling in ["mail", "ledger", "upload"] {
        promise(timeline.is_before(sibling, "group"), || {
            format!("{sibling} ended after its group")
        })?;
    }
    let report = Report::new(took)
        .happened("four children of one group; when one fails, those that still run are cancelled,")
        .happened("and the group returns when the last cleanup is over");
    Ok(timeline.draw(report).took(seconds(took)).in_threads(
        "a thread that waits cannot be told to stop; each would need a flag, and to look at it",
    ))
}
