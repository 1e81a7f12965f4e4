//! sqlx with PostgreSQL in children of a task group: each books an order in a transaction of its own. One fails, the
//! group cancels the others, and their transactions are rolled back.
//!
//! `postgres_orders URL`

use std::time::Duration;

use asyncio::sync::Barrier;
use asyncio::{BoxError, TaskGroup, on_cancel, sleep, task_group};
use sqlx::Row;
use sqlx::postgres::{PgPool as Pool, PgPoolOptions as Options};

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

/// Books a line when the others have begun as well, and works on until it is cancelled.
async fn prepare(pool: &Pool, customer: &str, begun: &Barrier) -> Result<(), BoxError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO lines (customer, line) VALUES ($1, 0)")
        .bind(customer)
        .execute(&mut *transaction)
        .await?;
    begun.wait().await?;
    let endless = on_cancel(sleep(Duration::from_secs(3600)), async {
        // The cleanup awaits the rollback, so the group ends after it.
        let rolled_back = transaction.rollback().await;
        println!("{customer}: rolled back: {}", rolled_back.is_ok());
    });
    endless.await;
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
    let url = std::env::args()
        .nth(1)
        .unwrap_or("postgres://localhost".into());
    let pool: Pool = Options::new().max_connections(4).connect(&url).await?;
    sqlx::query("CREATE TABLE lines (customer TEXT NOT NULL, line INTEGER NOT NULL)")
        .execute(&pool)
        .await?;

    book(&pool, "Ada", 2).await?;
    println!("lines after Ada: {}", count(&pool).await?);

    let pool = &pool;
    let begun = &Barrier::new(3);
    let failed = task_group(async |tg: TaskGroup<'_>| {
        for customer in ["Bob", "Grace"] {
            tg.spawn(prepare(pool, customer, begun));
        }
        tg.spawn(async move {
            begun.wait().await?;
            book(pool, "Mallory", 5).await
        });
        Ok(())
    });
    println!("{}", failed.await.unwrap_err().into_first());
    println!("lines after the failure: {}", count(pool).await?);
    pool.close().await;
    Ok(())
}
