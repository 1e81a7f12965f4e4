//! A web API with path parameters, JSON, a websocket and background tasks. A slow endpoint delays no other request, and
//! Ctrl-C ends the server in order.
//!
//! `cargo run --release --features http,axum,json,websocket --example web_api -- 8000`, then for instance:
//!
//! ```sh
//! curl -X POST localhost:8000/items -H 'content-type: application/json' -d '{"name": "tea", "price": 3}'
//! curl localhost:8000/items/1
//! curl localhost:8000/slow            # several at the same time take as long as one
//! curl -X POST localhost:8000/reports # starts a task in the background, and answers at once with its number
//! curl localhost:8000/reports/1
//! ```
//!
//! Without a port, or with port 0, the system chooses one. Ctrl-C waits for the requests and tasks under way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use asyncio::http::routing::{Json, Path, Router, get, post};
use asyncio::http::websocket::{WebSocket, WebSocketUpgrade};
use asyncio::http::{IntoResponse, Response, Server, Shared, StatusCode, local};
use asyncio::net::TcpListener;
use asyncio::sync::Queue;
use asyncio::{BoxError, TaskGroup, on_cancel, sleep, task_group};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Item {
    name: String,
    price: u32,
}

/// The state of the program, in plain cells, because there is one thread.
#[derive(Default)]
struct App {
    items: RefCell<BTreeMap<u32, Item>>,
    reports: RefCell<BTreeMap<u32, String>>,
    last: Cell<u32>,
    /// The reports to write.
    orders: Queue<u32>,
}

impl App {
    fn next_id(&self) -> u32 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }
}

async fn list(app: Shared<App>) -> Json<Vec<Item>> {
    Json(app.items.borrow().values().cloned().collect())
}

async fn add(app: Shared<App>, Json(item): Json<Item>) -> impl IntoResponse {
    let id = app.next_id();
    app.items.borrow_mut().insert(id, item);
    (StatusCode::CREATED, format!("{id}\n"))
}

async fn item(app: Shared<App>, Path(id): Path<u32>) -> Result<Json<Item>, StatusCode> {
    let items = app.items.borrow();
    items
        .get(&id)
        .cloned()
        .map(Json)
        .ok_or(StatusCode::NOT_FOUND)
}

async fn slow() -> &'static str {
    sleep(Duration::from_secs(1)).await;
    "that took a second\n"
}

/// Answers at once. The report is written in the background.
async fn order(app: Shared<App>) -> Result<impl IntoResponse, StatusCode> {
    let id = app.next_id();
    app.reports
        .borrow_mut()
        .insert(id, "is being written".into());
    let ordered = app.orders.put_nowait(id);
    ordered.map_err(|_closed| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok((StatusCode::ACCEPTED, format!("{id}\n")))
}

async fn report(app: Shared<App>, Path(id): Path<u32>) -> Result<String, StatusCode> {
    let reports = app.reports.borrow();
    reports
        .get(&id)
        .map(|text| format!("{text}\n"))
        .ok_or(StatusCode::NOT_FOUND)
}

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.answer(async |socket: WebSocket| {
        while let Ok(Some(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
}

/// Writes the reports that are ordered, each in a task of the group, until the queue is shut down.
async fn write_reports(app: Rc<App>) {
    let written = task_group(async |tg: TaskGroup<'_, Infallible>| {
        while let Ok(id) = app.orders.get().await {
            let app = &app;
            tg.spawn(async move {
                sleep(Duration::from_millis(500)).await;
                let text = format!("{} items are in stock", app.items.borrow().len());
                app.reports.borrow_mut().insert(id, text);
                Ok(())
            });
        }
        Ok(())
    });
    written.await.expect("no report fails");
}

#[asyncio::main]
async fn main() -> Result<(), BoxError> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(0), |port| port.parse::<u16>())?;
    let app = Shared::new(App::default());
    let writing = asyncio::spawn(write_reports(app.rc().clone()));
    let router = Router::new()
        .route("/items", get(list).post(local(add)))
        .route("/items/{id}", get(item))
        .route("/slow", get(slow))
        .route("/reports", post(order))
        .route("/reports/{id}", get(report))
        .route("/echo", get(echo))
        .with_state(app.clone());

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let server = Server::builder()
        .keep_alive_timeout(Duration::from_secs(30))
        .grace(Duration::from_secs(5))
        .start(router, [listener]);
    println!("listening on {}", server.addresses()[0]);
    let serving = on_cancel(server.serve_forever(), async {
        // The requests have ended. The reports under way are still written.
        app.orders.shutdown(false);
        let _ = writing.await;
        println!("all reports are written");
    });
    serving.await?;
    Ok(())
}
