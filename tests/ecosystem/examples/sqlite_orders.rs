//! sqlx with SQLite in children of a task group: each books an order in a transaction of its own. One fails, the group
//! cancels the others, and their transactions are rolled back.
//!
//! `sqlite_orders [FILE]`

use std::time::Duration;

use asyncio::{BoxError, TaskGroup, sleep, task_group};
use sqlx::Row;
use sqlx::sqlite::{SqlitePool as Pool, SqlitePoolOptions as Options};

/// Books an order of many lines. The transaction ends with the commit, or is rolled back.
async fn book(pool: &Pool, customer: &str, lines: i32) -> Result<(), BoxError> {
    let mut transaction = pool.begin().await?;
    for line in 0..lines {
        if line == 3 {
            return Err(format!("{customer} has no credit").into());
        }
        sqlx::query("INSERT INTO lines (customer, line) VALUES ($1, $2)")
            .bind(customer)
            .bind(line)
            .execute(&mut *transaction)
            .await?;
        sleep(Duration::from_millis(1)).await;
    }
    transaction.commit().await?;
    Ok(())
}

async fn count(pool: &Pool) -> Result<i64, BoxError> {
    let row = sqlx::query("SELECT count(*) FROM lines")
        .fetch_one(pool)
        .await?;
    Ok(row.try_get(0)?)
}

#[asyncio::main(host = "tokio")]
async fn main() -> Result<(), BoxError> {
    let file = std::env::args().nth(1).unwrap_or(":memory:".into());
    // One writer at a time: a transaction waits for the connection, and the time limit is for that wait.
    let options = Options::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(30));
    let pool: Pool = options.connect(&format!("sqlite:{file}")).await?;
    sqlx::query("CREATE TABLE lines (customer TEXT NOT NULL, line INTEGER NOT NULL)")
        .execute(&pool)
        .await?;

    book(&pool, "Ada", 2).await?;
    println!("lines after Ada: {}", count(&pool).await?);

    let pool = &pool;
    let failed = task_group(async |tg: TaskGroup<'_>| {
        tg.spawn(book(pool, "Mallory", 5));
        Ok(())
    });
    println!("{}", failed.await.unwrap_err().into_first());
    println!("lines after the failure: {}", count(pool).await?);
    pool.close().await;
    Ok(())
}
