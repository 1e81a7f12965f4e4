//! The members of a race or a gather: an array, or a tuple of up to twelve.
#![allow(
    non_snake_case,
    reason = "a member of a tuple and its type have one name"
)]

use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_task::{Listener, PlainRound};
use pin_project_lite::pin_project;

use super::member::{End, Member, MemberState, PlainPoll, Rule};
use super::pinned_array::PinnedArray;
use super::{Gathered, Racers, TryGathered};

/// Several members: a tuple or an array of them. Each method is that of [`Member`], for the one with a number.
pub(crate) trait Crew {
    const LEN: usize;

    fn state(self: Pin<&mut Self>, n: usize) -> MemberState;

    fn discard(self: Pin<&mut Self>, n: usize);

    fn end_plain(self: Pin<&mut Self>, n: usize, round: PlainRound<'_>, listener: &mut Listener);
}

/// A crew whose values a rule is for.
pub(crate) trait CrewOf<R>: Crew {
    const IS_CONTEST: bool;

    fn poll_plain(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> PlainPoll<()>;

    fn go_on(
        self: Pin<&mut Self>,
        n: usize,
        round: PlainRound<'_>,
        listener: &mut Listener,
        cx: &mut Context<'_>,
    ) -> Poll<End>;

    fn poll(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> Poll<End>;
}

const ALL_THERE: &str = "a gather ends when all values are there";

/// Members of one type.
pub(crate) type Array<F, const N: usize> = PinnedArray<Member<F>, N>;

impl<F: Future, const N: usize> Array<F, N> {
    pub(crate) fn of(futures: [F; N]) -> Self {
        Self::new(futures.map(Member::new))
    }
}

impl<F: Future, const N: usize> Crew for Array<F, N> {
    const LEN: usize = N;

    fn state(self: Pin<&mut Self>, n: usize) -> MemberState {
        self.element(n).state()
    }

    #[inline]
    fn discard(self: Pin<&mut Self>, n: usize) {
        self.element(n).discard();
    }

    fn end_plain(self: Pin<&mut Self>, n: usize, round: PlainRound<'_>, listener: &mut Listener) {
        self.element(n).end_plain(round, listener);
    }
}

impl<F: Future, R: Rule<F::Output>, const N: usize> CrewOf<R> for Array<F, N> {
    const IS_CONTEST: bool = R::IS_CONTEST;

    #[inline(always)]
    fn poll_plain(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> PlainPoll<()> {
        self.element(n).poll_plain::<R>(cx)
    }

    fn go_on(
        self: Pin<&mut Self>,
        n: usize,
        round: PlainRound<'_>,
        listener: &mut Listener,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        self.element(n).go_on::<R>(round, listener, cx)
    }

    #[inline]
    fn poll(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> Poll<End> {
        self.element(n).poll::<R>(cx)
    }
}

impl<F: Future, const N: usize> Racers for Array<F, N> {
    type Output = F::Output;

    #[inline(always)]
    fn poll_first(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.element(n).poll_first(cx)
    }

    fn store(self: Pin<&mut Self>, n: usize, value: F::Output) {
        *self.element(n).value() = Some(value);
    }

    fn take(self: Pin<&mut Self>, n: usize) -> Option<F::Output> {
        self.element(n).value().take()
    }
}

impl<F: Future, const N: usize> Gathered for Array<F, N> {
    type Outputs = [F::Output; N];

    fn take_all(mut self: Pin<&mut Self>) -> [F::Output; N] {
        std::array::from_fn(|n| self.as_mut().element(n).value().take().expect(ALL_THERE))
    }
}

impl<T, E, F: Future<Output = Result<T, E>>, const N: usize> TryGathered for Array<F, N> {
    type Outputs = [T; N];
    type Error = E;

    fn take_error(self: Pin<&mut Self>, n: usize) -> Option<E> {
        self.element(n).value().take()?.err()
    }

    fn take_all(mut self: Pin<&mut Self>) -> [T; N] {
        std::array::from_fn(|n| {
            let value = self.as_mut().element(n).value().take();
            value.and_then(Result::ok).expect(ALL_THERE)
        })
    }
}

/// Members of different types, up to twelve.
macro_rules! tuple {
    ($name:ident, $first:ident: $($n:literal $F:ident $V:ident)+) => {
        pin_project! {
                pub(crate) struct $name<$($F: Future),+> {
                $(#[pin] $F: Member<$F>,)+
            }
        }

        impl<$($F: Future),+> $name<$($F),+> {
                pub(crate) fn of(($($F,)+): ($($F,)+)) -> Self {
                Self { $($F: Member::new($F)),+ }
            }
        }

        impl<$($F: Future),+> Crew for $name<$($F),+> {
            const LEN: usize = [$($n),+].len();

            fn state(self: Pin<&mut Self>, n: usize) -> MemberState {
                let this = self.project();
                match n {
                    $($n => this.$F.state(),)+
                    _ => MemberState::Ended,
                }
            }

            #[inline]
            fn discard(self: Pin<&mut Self>, n: usize) {
                let this = self.project();
                match n {
                    $($n => this.$F.discard(),)+
                    _ => {}
                }
            }

            fn end_plain(
                self: Pin<&mut Self>,
                n: usize,
                round: PlainRound<'_>,
                listener: &mut Listener,
            ) {
                let this = self.project();
                match n {
                    $($n => this.$F.end_plain(round, listener),)+
                    _ => {}
                }
            }
        }

        impl<Rul, $($F: Future),+> CrewOf<Rul> for $name<$($F),+>
        where
            $(Rul: Rule<$F::Output>,)+
        {
            const IS_CONTEST: bool = <Rul as Rule<$first::Output>>::IS_CONTEST;

            #[inline(always)]
            fn poll_plain(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> PlainPoll<()> {
                let this = self.project();
                match n {
                    $($n => this.$F.poll_plain::<Rul>(cx),)+
                    _ => PlainPoll::Ended,
                }
            }

            fn go_on(
                self: Pin<&mut Self>,
                n: usize,
                round: PlainRound<'_>,
                listener: &mut Listener,
                cx: &mut Context<'_>,
            ) -> Poll<End> {
                let this = self.project();
                match n {
                    $($n => this.$F.go_on::<Rul>(round, listener, cx),)+
                    _ => Poll::Pending,
                }
            }

            #[inline]
            fn poll(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> Poll<End> {
                let this = self.project();
                match n {
                    $($n => this.$F.poll::<Rul>(cx),)+
                    _ => Poll::Pending,
                }
            }
        }

        impl<Out, $($F: Future<Output = Out>),+> Racers for $name<$($F),+> {
            type Output = Out;

            #[inline(always)]
            fn poll_first(self: Pin<&mut Self>, n: usize, cx: &mut Context<'_>) -> Poll<Out> {
                let this = self.project();
                match n {
                    $($n => this.$F.poll_first(cx),)+
                    _ => Poll::Pending,
                }
            }

            fn store(self: Pin<&mut Self>, n: usize, value: Out) {
                let this = self.project();
                match n {
                    $($n => *this.$F.value() = Some(value),)+
                    _ => {}
                }
            }

            fn take(self: Pin<&mut Self>, n: usize) -> Option<Out> {
                let this = self.project();
                match n {
                    $($n => this.$F.value().take(),)+
                    _ => None,
                }
            }
        }

        impl<$($F: Future),+> Gathered for $name<$($F),+> {
            type Outputs = ($($F::Output,)+);

            fn take_all(self: Pin<&mut Self>) -> Self::Outputs {
                let this = self.project();
                ($(this.$F.value().take().expect(ALL_THERE),)+)
            }
        }

        impl<Err, $($V, $F),+> TryGathered for $name<$($F),+>
        where
            $($F: Future<Output = Result<$V, Err>>,)+
        {
            type Outputs = ($($V,)+);
            type Error = Err;

            fn take_error(self: Pin<&mut Self>, n: usize) -> Option<Err> {
                let this = self.project();
                match n {
                    $($n => this.$F.value().take()?.err(),)+
                    _ => None,
                }
            }

            fn take_all(self: Pin<&mut Self>) -> Self::Outputs {
                let this = self.project();
                ($(this.$F.value().take().and_then(Result::ok).expect(ALL_THERE),)+)
            }
        }
    };
}

tuple!(Tuple1, A: 0 A VA);
tuple!(Tuple2, A: 0 A VA 1 B VB);
tuple!(Tuple3, A: 0 A VA 1 B VB 2 C VC);
tuple!(Tuple4, A: 0 A VA 1 B VB 2 C VC 3 D VD);
tuple!(Tuple5, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE);
tuple!(Tuple6, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF);
tuple!(Tuple7, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF 6 G VG);
tuple!(Tuple8, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF 6 G VG 7 H VH);
tuple!(Tuple9, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF 6 G VG 7 H VH 8 I VI);
tuple!(Tuple10, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF 6 G VG 7 H VH 8 I VI 9 J VJ);
tuple!(Tuple11, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF 6 G VG 7 H VH 8 I VI 9 J VJ 10 K VK);
tuple!(Tuple12, A: 0 A VA 1 B VB 2 C VC 3 D VD 4 E VE 5 F VF 6 G VG 7 H VH 8 I VI 9 J VJ 10 K VK 11 L VL);
