use std::future::poll_fn;

use super::*;

const A: &str = "10.0.0.1:5060";
const B: &str = "10.0.0.2:5060";

#[tokio::test(start_paused = true)]
async fn datagram_arrives_after_the_delay() {
    let conditions = Conditions { delay: Duration::from_millis(40), ..Conditions::PERFECT };
    let network = SimNetwork::new(1, conditions);
    let [a, b] = [A, B].map(|address| socket(&network, address));
    let start = now();

    a.try_send(b"hello", b.local_addr()).unwrap();

    assert_eq!(b.try_recv(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(receive(&*b).await, (b"hello".to_vec(), a.local_addr()));
    assert_eq!(now() - start, Duration::from_millis(40));
}

#[tokio::test(start_paused = true)]
async fn waiting_task_is_woken_by_what_is_sent_later() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let [a, b] = [A, B].map(|address| socket(&network, address));
    let receiving = tokio::spawn(async move { receive(&*b).await.0 });
    tokio::time::sleep(Duration::from_secs(1)).await;

    a.try_send(b"late", B.parse().unwrap()).unwrap();

    assert_eq!(receiving.await.unwrap(), b"late");
}

#[tokio::test(start_paused = true)]
async fn same_seed_gives_the_same_run_and_another_seed_another() {
    let [one, again, other] = [run(1).await, run(1).await, run(2).await];
    assert_eq!(one, again);
    assert_ne!(one, other);
}

#[tokio::test(start_paused = true)]
async fn poor_network_loses_repeats_and_reorders() {
    let got = run(3).await;
    let first_seen: Vec<u16> = got
        .iter()
        .enumerate()
        .filter(|(index, number)| !got[..*index].contains(number))
        .map(|(_, &number)| number)
        .collect();
    let lost = 500 - first_seen.len();
    let repeated = got.len() - first_seen.len();
    let overtaken = first_seen.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!((10..50).contains(&lost), "{lost} of 500 lost");
    assert!((1..25).contains(&repeated), "{repeated} of 500 repeated");
    assert!(overtaken > 10, "{overtaken} overtaken");
}

#[tokio::test(start_paused = true)]
async fn traffic_elsewhere_does_not_change_the_weather_here() {
    let fates = |busy: bool| {
        let network = SimNetwork::new(9, Conditions { loss: 0.5, ..Conditions::PERFECT });
        let [a, b] = [A, B].map(|address| socket(&network, address));
        for _ in 0..50 {
            a.try_send(b"x", b.local_addr()).unwrap();
            if busy {
                b.try_send(b"y", a.local_addr()).unwrap();
            }
        }
        let captured = network.captured();
        let from_a = captured.into_iter().filter(|sent| sent.from == a.local_addr());
        from_a.map(|sent| sent.delay).collect::<Vec<_>>()
    };
    assert_eq!(fates(false), fates(true));
}

#[tokio::test(start_paused = true)]
async fn cut_direction_loses_all_and_the_other_nothing() {
    let network = SimNetwork::new(1, Conditions::LOCAL);
    let [a, b] = [A, B].map(|address| socket(&network, address));
    network.set_conditions(a.local_addr().ip(), b.local_addr().ip(), Conditions::CUT);

    a.try_send(b"there", b.local_addr()).unwrap();
    b.try_send(b"back", a.local_addr()).unwrap();

    assert_eq!(receive(&*a).await.0, b"back");
    assert!(b.try_recv(&mut [0; 16]).is_err());
    let captured = network.captured();
    assert_eq!(captured[0].delay, None);
    assert_eq!(captured[1].delay, Some(Duration::from_millis(1)));
    assert_eq!(&*captured[1].bytes, b"back");
}

#[tokio::test(start_paused = true)]
async fn address_is_taken_until_its_socket_is_dropped() {
    let network = SimNetwork::new(1, Conditions::PERFECT);
    let host = network.host("10.0.0.1".parse().unwrap());
    let bind = |address: &str| host.bind_media(address.parse().unwrap());
    let kind = |address| bind(address).map(|_| ()).unwrap_err().kind();

    let socket = bind("10.0.0.1:4000").unwrap();
    assert_eq!(kind("0.0.0.0:4000"), io::ErrorKind::AddrInUse);
    assert_eq!(kind("10.0.0.9:4000"), io::ErrorKind::AddrNotAvailable);
    let any = [bind("0.0.0.0:0").unwrap(), bind("0.0.0.0:0").unwrap()];
    assert_ne!(any[0].local_addr(), any[1].local_addr());

    drop(socket);
    assert!(bind("0.0.0.0:4000").is_ok());
    drop(any);
    assert_eq!(network.bound(), []);
}

fn socket(network: &SimNetwork, address: &str) -> Arc<dyn Datagrams> {
    let address: SocketAddr = address.parse().unwrap();
    network.host(address.ip()).bind(address).unwrap()
}

async fn receive(socket: &dyn Datagrams) -> (Vec<u8>, SocketAddr) {
    let mut buf = [0; 64];
    poll_fn(|cx| socket.poll_readable(cx)).await.unwrap();
    let (length, from) = socket.try_recv(&mut buf).unwrap();
    (buf[..length].to_vec(), from)
}

/// Sends 500 numbers, 20 ms apart, over a poor network, and returns those that came.
async fn run(seed: u64) -> Vec<u16> {
    let network = SimNetwork::new(seed, Conditions::POOR);
    let [a, b] = [A, B].map(|address| socket(&network, address));
    let mut got = Vec::new();
    for number in 0..500u16 {
        a.try_send(&number.to_be_bytes(), b.local_addr()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut buf = [0; 2];
        while b.try_recv(&mut buf).is_ok() {
            got.push(u16::from_be_bytes(buf));
        }
    }
    got
}
