// The scenarios by their names.
import { accessibility } from "./accessibility.mjs";
import { bounds } from "./bounds.mjs";
import { crowd } from "./crowd.mjs";
import { keyboard } from "./keyboard.mjs";
import { absence, filters, outdated, recovery, values } from "./life.mjs";
import { origins } from "./origins.mjs";
import { requests } from "./requests.mjs";

export const scenarios = { absence, accessibility, bounds, crowd, filters, keyboard, origins, outdated, recovery, requests, values };
