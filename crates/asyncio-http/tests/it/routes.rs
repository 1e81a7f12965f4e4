//! axum's router with handlers that need no `Send`, and with axum's own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use asyncio::http::routing::{
    Form, Json, MethodFilter, Path, Query, Router, State, any, get, on, post,
};
use asyncio::http::{IntoResponse, Peer, Request, Session, Shared, StatusCode, body, local};
use asyncio::sleep;

#[derive(Default)]
struct App {
    names: RefCell<Vec<String>>,
    requests: Cell<u32>,
}

async fn read(app: Shared<App>, Path(id): Path<usize>) -> Result<String, StatusCode> {
    let not_send = Rc::new(1);
    sleep(Duration::from_millis(1)).await;
    app.requests.set(app.requests.get() + *not_send);
    app.names
        .borrow()
        .get(id)
        .cloned()
        .ok_or(StatusCode::NOT_FOUND)
}

async fn add(app: Shared<App>, Json(name): Json<String>) -> impl IntoResponse {
    app.names.borrow_mut().push(name);
    (
        StatusCode::CREATED,
        (app.names.borrow().len() - 1).to_string(),
    )
}

#[asyncio::test(clock = "real")]
async fn handlers_share_cells_and_mix_with_axums_own() -> Outcome {
    let count = Rc::new(Cell::new(0));
    let app = Shared::new(App::default());
    let router = Router::new()
        .route("/names/{id}", get(read))
        .route("/names", post(add))
        .route(
            "/count",
            get({
                let count = count.clone();
                move || {
                    count.set(count.get() + 1);
                    let count = count.clone();
                    async move { count.get().to_string() }
                }
            }),
        )
        .route(
            "/both",
            get(async || "ours").post(local(async |body: String| body)),
        )
        .route(
            "/axum",
            axum::routing::get(async |State(app): State<Shared<App>>| {
                app.requests.get().to_string()
            }),
        )
        .route("/on", on(MethodFilter::PUT, async || "put"))
        .nest(
            "/nested",
            Router::new().route(
                "/x",
                any(async |request: Request| request.method().to_string()),
            ),
        )
        .fallback(local(async |peer: Option<Peer>| {
            (StatusCode::NOT_FOUND, format!("{}", peer.is_some()))
        }))
        .with_state(app.clone());
    let server = start(router).await;
    let session = Session::new();
    let text = async |request: asyncio::http::RequestBuilder| {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let expected = |status: u16, text: &str| (status, text.to_owned());
    let at = |path| url(&server, path);
    assert_eq!(
        text(session.post(at("/names")).json("Ada")).await,
        expected(201, "0")
    );
    assert_eq!(
        text(session.get(at("/names/0"))).await,
        expected(200, "Ada")
    );
    assert_eq!(text(session.get(at("/names/7"))).await, expected(404, ""));
    assert_eq!(text(session.get(at("/names/x"))).await.0, 400);
    assert_eq!(
        text(session.post(at("/names")).body("no json")).await.0,
        415
    );
    text(session.get(at("/count"))).await;
    assert_eq!(text(session.get(at("/count"))).await, expected(200, "2"));
    assert_eq!(text(session.get(at("/both"))).await, expected(200, "ours"));
    assert_eq!(
        text(session.post(at("/both")).body("echo")).await,
        expected(200, "echo")
    );
    assert_eq!(text(session.put(at("/both"))).await.0, 405);
    assert_eq!(text(session.get(at("/axum"))).await, expected(200, "2"));
    assert_eq!(text(session.put(at("/on"))).await, expected(200, "put"));
    assert_eq!(
        text(session.patch(at("/nested/x"))).await,
        expected(200, "PATCH")
    );
    assert_eq!(
        text(session.get(at("/nowhere"))).await,
        expected(404, "true")
    );
    assert_eq!(app.requests.get(), 2);
    Ok(())
}

#[derive(serde::Deserialize)]
struct Search {
    q: String,
    page: Option<u32>,
}

#[asyncio::test(clock = "real")]
async fn extractors_of_axum_work() -> Outcome {
    let answer = |search: &Search| format!("{} {:?}", search.q, search.page);
    let router = Router::new()
        .route(
            "/search",
            get(async move |Query(search): Query<Search>| answer(&search)),
        )
        .route(
            "/form",
            post(async move |Form(search): Form<Search>| answer(&search)),
        );
    let server = start(router).await;
    let session = Session::new();
    let search = session
        .get(url(&server, "/search"))
        .query([("q", "a b&c"), ("page", "2")]);
    assert_eq!(search.send().await?.text().await?, "a b&c Some(2)");
    let form = session.post(url(&server, "/form")).form([("q", "ä")]);
    assert_eq!(form.send().await?.text().await?, "ä None");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn layers_wrap_handlers() -> Outcome {
    use axum::extract::Request;
    use axum::middleware::{Next, from_fn};
    let mark = from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        response
            .headers_mut()
            .insert("x-layer", "yes".parse().unwrap());
        response
    });
    let state = Rc::new(Cell::new(1)); // not `Send`
    let router = Router::new()
        .route(
            "/",
            get(move || {
                let state = state.clone();
                async move { state.get().to_string() }
            }),
        )
        .layer(mark);
    let server = start(router).await;
    let response = Session::new().get(url(&server, "/")).send().await?;
    assert_eq!(response.header("x-layer"), Some("yes"));
    assert_eq!(response.text().await?, "1");
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_body_beyond_the_extractors_limit_is_413() -> Outcome {
    let server =
        start(Router::new().route("/", post(async |body: String| body.len().to_string()))).await;
    let large = "x".repeat(3_000_000);
    let response = Session::new()
        .post(url(&server, "/"))
        .body(large.clone())
        .send()
        .await?;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let stream = body::from_stream(futures::stream::iter([Ok::<_, std::io::Error>(large)]));
    let response = Session::new()
        .post(url(&server, "/"))
        .body(stream)
        .send()
        .await;
    // The server may answer before all is sent, and the connection break.
    if let Ok(response) = response {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    Ok(())
}

#[asyncio::test(clock = "real")]
async fn a_router_of_another_loop_answers_with_500_and_is_reported() -> Outcome {
    // Made on this loop, served on another one.
    let router = Router::new().route("/", get(async || "here"));
    let status = std::thread::spawn(|| {
        asyncio::run(async move {
            let reports = Rc::new(Cell::new(0));
            asyncio::set_exception_handler({
                let reports = reports.clone();
                move |_: &asyncio::Unhandled| reports.set(reports.get() + 1)
            });
            let server = start(router).await;
            let response = Session::new().get(url(&server, "/")).send().await.unwrap();
            (response.status(), reports.get())
        })
    });
    let status = asyncio::to_thread(move || status.join().unwrap()).await?;
    assert_eq!(status, (StatusCode::INTERNAL_SERVER_ERROR, 1));
    Ok(())
}
