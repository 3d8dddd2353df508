//! A bounded channel from a media thread to one task.
//!
//! Sending neither allocates, locks nor wakes, so it may be done within a tick; [`Writer::wake`] is
//! called when the tick is over. Only a waker's own scheduling happens there.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures_util::stream::Stream;
use futures_util::task::AtomicWaker;
use rtrb::{Consumer, Producer, RingBuffer};

/// Makes a channel for `capacity` values.
pub fn ring<T>(capacity: usize) -> (Writer<T>, Reader<T>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    let shared = Arc::new(Shared { waker: AtomicWaker::new(), lost: AtomicU64::new(0) });
    let writer = Writer { producer: Some(producer), shared: shared.clone(), unread: false };
    (writer, Reader { consumer, shared })
}

#[derive(Debug)]
struct Shared {
    waker: AtomicWaker,
    lost: AtomicU64,
}

/// The end of the media thread.
#[derive(Debug)]
pub struct Writer<T> {
    /// Only empty while dropping.
    producer: Option<Producer<T>>,
    shared: Arc<Shared>,
    unread: bool,
}

impl<T> Writer<T> {
    /// Puts a value in; false if the reader is stuck and the ring is full: the value is lost, and
    /// counted. When there is no reader any more, nobody has lost anything.
    pub fn push(&mut self, value: T) -> bool {
        let Some(producer) = &mut self.producer else { return true };
        self.unread = true;
        let fits = producer.push(value).is_ok() || producer.is_abandoned();
        if !fits {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// Wakes the reader, if something came since the last time.
    pub fn wake(&mut self) {
        if std::mem::take(&mut self.unread) {
            self.shared.waker.wake();
        }
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        // The reader sees the end only once the producer is gone, and sleeps on unless woken after.
        self.producer.take();
        self.shared.waker.wake();
    }
}

/// The end of the task.
#[derive(Debug)]
pub struct Reader<T> {
    consumer: Consumer<T>,
    shared: Arc<Shared>,
}

impl<T> Reader<T> {
    /// The next value; `None` when the writer is gone and all is read. Nothing is lost when the
    /// future is dropped.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next value if there is one now.
    pub fn try_next(&mut self) -> Option<T> {
        self.consumer.pop().ok()
    }

    /// How many values were lost because the ring was full.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Ok(value) = self.consumer.pop() {
            return Poll::Ready(Some(value));
        }
        self.shared.waker.register(cx.waker());
        // Looked at in this order, a last value pushed before the writer went is not missed.
        let over = self.consumer.is_abandoned();
        match self.consumer.pop() {
            Ok(value) => Poll::Ready(Some(value)),
            Err(_) if over => Poll::Ready(None),
            Err(_) => Poll::Pending,
        }
    }
}

impl<T> Stream for Reader<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Reader::poll_next(self.get_mut(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reader_gets_all_that_was_written_and_then_the_end() {
        let (mut writer, mut reader) = ring(4);
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            while let Some(value) = reader.next().await {
                got.push(value);
            }
            got
        });
        tokio::task::yield_now().await;

        writer.push(1);
        writer.wake();
        tokio::task::yield_now().await;
        writer.push(2);
        drop(writer);

        assert_eq!(reading.await.unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn full_ring_loses_the_newest_and_counts_it() {
        let (mut writer, mut reader) = ring(2);
        assert_eq!([1, 2, 3].map(|value| writer.push(value)), [true, true, false]);
        assert_eq!(reader.next().await, Some(1));
        assert_eq!(reader.lost(), 1);
    }

    #[test]
    fn without_a_reader_nothing_is_lost() {
        let (mut writer, reader) = ring(1);
        assert!(writer.push(1));
        assert!(!writer.push(2));
        drop(reader);
        assert!(writer.push(3));
    }

    /// Every value crosses between two real threads, whatever the timing of sleep and wake.
    #[test]
    fn no_wake_is_missed_between_threads() {
        const VALUES: u32 = 20_000;
        let (mut writer, mut reader) = ring(8);
        let thread = std::thread::spawn(move || {
            for value in 0..VALUES {
                while !writer.push(value) {
                    writer.wake();
                    std::thread::yield_now();
                }
                writer.wake();
            }
        });

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for value in 0..VALUES {
                assert_eq!(reader.next().await, Some(value));
            }
            assert_eq!(reader.next().await, None);
        });
        thread.join().unwrap();
    }
}
