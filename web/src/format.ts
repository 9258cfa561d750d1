/** Numbers and times as people read them, in the reader's language and zone. */

const NUMBER = new Intl.NumberFormat();
const PERCENT = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const MONEY = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", maximumSignificantDigits: 2 });
const TODAY = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const THIS_YEAR = new Intl.DateTimeFormat(undefined, {
  ...{ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
});
const ANY_DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const number = (value: number): string => NUMBER.format(value);
export const percent = (share: number): string => PERCENT.format(share);
/** Rounded down: what is not all is never 100 %. */
export const percentDown = (share: number): string => percent(Math.floor(share * 1000) / 1000);
export const dollars = (amount: number): string => MONEY.format(amount);

/** "1 run", "2 runs". */
export function count(value: number, one: string, many = `${one}s`): string {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function moment(iso: string, now = new Date()): string {
  const at = new Date(iso);
  if (at.toDateString() === now.toDateString()) return TODAY.format(at);
  return (at.getFullYear() === now.getFullYear() ? THIS_YEAR : ANY_DAY).format(at);
}

/** The same moment in UTC, as the mails and logs have it. */
export const utc = (iso: string): string => `${iso.slice(0, 19).replace("T", " ")} UTC`;

/** A duration in seconds, as its two largest units: "2 d 3 h", "45 s". */
export function duration(seconds: number): string {
  const units: [string, number][] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  let rest = Math.max(0, Math.round(seconds));
  const first = units.findIndex(([, size]) => rest >= size);
  if (first < 0) return "0 s";
  const parts = units.slice(first, first + 2).map(([unit, size]) => {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    return amount ? `${amount} ${unit}` : "";
  });
  return parts.filter(Boolean).join(" ");
}

/** How long ago a moment is: "12 min ago"; or how long until then: "in 3 h". */
export function ago(iso: string, now: number): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}
