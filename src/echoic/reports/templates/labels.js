"use strict";
// Where the names of curves go: near the curves' ends, without covering curves or each other.
// Pixels, y downwards. The same search as labels.py does for paper.

const BEHIND = 1.5; // the cost of standing at the beginning of a tail, in heights of a label

function placeLabels(tails, sizes, area, ink, taken) {
  const placed = [];
  tails.forEach((tail, i) => {
    const box = cheapest(tail, sizes[i], area, ink, taken.concat(placed));
    box.leader = leaderOf(box, tail);
    placed.push(box);
  });
  return placed;
}

function cheapest(tail, [width, height], area, ink, others) {
  const end = tail[tail.length - 1];
  let best = null, least = Infinity;
  for (const left of corners([end[0] + 4, end[0] - width - 4], 0.7 * height, area.left, area.left + area.width - width)) {
    for (const top of corners([end[1] - height / 2], 0.35 * height, area.top, area.top + area.height - height)) {
      const box = { left, top, width, height };
      let cost = Infinity;
      tail.forEach((point, q) => {
        const behind = BEHIND * (1 - (q + 1) / tail.length);
        cost = Math.min(cost, gapTo(box, point) / height + behind);
      });
      for (const other of others) cost += 1e4 * overlap(box, other) / (width * height);
      if (cost >= least) continue;
      cost += 1.5 * covered(box, ink);
      if (cost < least) { least = cost; best = box; }
    }
  }
  return best;
}

function corners(starts, step, low, high) {
  if (high < low) return [low];
  const found = [];
  for (const start of starts) {
    for (let x = start - Math.ceil((start - low) / step) * step; x <= high; x += step) {
      if (x >= low) found.push(x);
    }
  }
  return found.length ? found : [low];
}

function gapTo(box, [x, y]) {
  return Math.hypot(
    Math.max(box.left - x, x - box.left - box.width, 0),
    Math.max(box.top - y, y - box.top - box.height, 0));
}

function overlap(a, b) {
  const wide = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  const high = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  return Math.max(0, wide) * Math.max(0, high);
}

function covered(box, ink) {
  const air = 0.12 * box.height;
  let total = 0;
  for (const [x, y, weight] of ink) {
    if (x >= box.left - air && x <= box.left + box.width + air
        && y >= box.top - air && y <= box.top + box.height + air) total += weight;
  }
  return total;
}

// The shortest line from a box to a tail, or null where the box stands beside it anyway.
function leaderOf(box, tail) {
  let best = null, least = Infinity;
  for (const point of tail) {
    const gap = gapTo(box, point);
    if (gap < least) { least = gap; best = point; }
  }
  if (least < 0.7 * box.height) return null;
  const near = [
    Math.min(Math.max(best[0], box.left), box.left + box.width),
    Math.min(Math.max(best[1], box.top), box.top + box.height)];
  return [near, best];
}
