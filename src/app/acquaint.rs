//! Has a language model read every persona before somebody calls.
//!
//! A server on this machine reads a prompt at some hundred tokens a second and keeps what it has read. The
//! persona stands at the beginning of every prompt, so whoever calls first would wait for it, longer than
//! the deadline after which the agent falls back to its line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::agent::prompt::{self, History};
use crate::agent::{LanguageModel, ModelRequest, llm};
use crate::dialplan::Dialplan;

/// How long the model may take to read one persona. A busy machine without a graphics card needs half of
/// that.
const READING_TIME: Duration = Duration::from_secs(60);

/// Reads all personas whenever the server comes up and whenever the dialplan changes, and tells by
/// `acquainted` whether the model knows them. Ends with its neighbours.
pub async fn keep_acquainted(
    model: Arc<dyn LanguageModel>,
    mut ready: watch::Receiver<bool>,
    mut dialplan: watch::Receiver<Arc<Dialplan>>,
    acquainted: watch::Sender<bool>,
) {
    loop {
        if ready.wait_for(|ready| *ready).await.is_err() {
            return;
        }
        let current = dialplan.borrow_and_update().clone();
        read_personas(&*model, &current).await;
        // Also if it has not read them all: whoever waits for more would wait in vain.
        acquainted.send_replace(true);
        tokio::select! {
            lost = ready.wait_for(|ready| !*ready) => match lost {
                Ok(_) => drop(acquainted.send_replace(false)),
                Err(_) => return,
            },
            changed = dialplan.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

async fn read_personas(model: &dyn LanguageModel, dialplan: &Dialplan) {
    let (began, mut read) = (Instant::now(), 0);
    for agent in dialplan.agents.values() {
        let request = prompt::request(&agent.persona, &agent.language, &History::default());
        let request = ModelRequest { tokens_max: 1, ..request };
        match llm::complete(model, request, READING_TIME).await {
            Ok(_) => read += 1,
            // The first caller will wait longer; nothing else depends on it.
            Err(why) => warn!(agent = agent.name, %why, "the model has not read a persona"),
        }
    }
    info!(read, of = dialplan.agents.len(), took = ?began.elapsed(), "the model has read its personas");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::stream::{self, BoxStream, StreamExt};

    use super::*;
    use crate::agent::ModelError;
    use crate::config::Config;
    use crate::dialplan::load;
    use crate::files::Report;

    /// Remembers what it was asked.
    #[derive(Default)]
    struct Model(Mutex<Vec<ModelRequest>>);

    impl LanguageModel for Model {
        fn reply(&self, request: ModelRequest) -> BoxStream<'static, Result<String, ModelError>> {
            self.0.lock().expect("one thread").push(request);
            stream::empty().boxed()
        }
    }

    /// The model is asked once for each agent when the server is up, again when it was restarted, and again
    /// when the dialplan has changed.
    #[tokio::test(start_paused = true)]
    async fn personas_are_read_before_anybody_calls() {
        let dialplan = load(&Config::default().dialplan_folder(), &Report::default());
        let dialplan = Arc::new(dialplan.expect("the demo is right"));
        let model = Arc::new(Model::default());
        let asked = |model: &Model| model.0.lock().expect("one thread").clone();
        let (up, ready) = watch::channel(false);
        let (reload, current) = watch::channel(dialplan.clone());
        let (told, mut knows) = watch::channel(false);
        tokio::spawn(keep_acquainted(model.clone(), ready, current, told));
        assert!(!*knows.borrow());

        up.send_replace(true);
        knows.wait_for(|knows| *knows).await.expect("it lives");
        let [request] = &asked(&model)[..] else { panic!("{:?}", asked(&model)) };
        assert_eq!(request.tokens_max, 1);
        assert!(request.messages[0].content.contains("bicycle"), "{request:?}");

        up.send_replace(false);
        knows.wait_for(|knows| !*knows).await.expect("it lives");
        up.send_replace(true);
        knows.wait_for(|knows| *knows).await.expect("it lives");
        assert_eq!(asked(&model).len(), 2);

        reload.send_replace(dialplan);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(asked(&model).len(), 3);
    }
}
