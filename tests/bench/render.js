// SPDX-License-Identifier: LGPL-2.1-or-later
// render.js NPM_FOLDER CONTEXT.json COUNT TEMPLATE…: prints nanoseconds per rendering of each precompiled template by
// handlebars.js, without escaping, after a warm-up.

'use strict';

const fs = require('fs');
const path = require('path');

const [folder, context, count, ...templates] = process.argv.slice(2);
const Handlebars = require(path.join(folder, 'node_modules', 'handlebars'));
const values = JSON.parse(fs.readFileSync(context, 'utf8'));

// The helpers that ccpd's templates may use and that handlebars.js does not have.
const helpers = {
    eq: (a, b) => a === b,
    ne: (a, b) => a !== b,
    and: (...args) => args.slice(0, -1).every(Boolean),
    or: (...args) => args.slice(0, -1).some(Boolean),
    not: a => !a,
    default: (a, b) => a || b,
    concat: (...args) => args.slice(0, -1).join(''),
    join: (list, separator) => list.join(separator),
};
for (const [name, helper] of Object.entries(helpers))
    Handlebars.registerHelper(name, helper);

for (const file of templates) {
    const template = Handlebars.compile(fs.readFileSync(file, 'utf8'), { noEscape: true });
    let length = 0;

    for (let i = 0; i < count / 10; i++)
        length += template(values).length;

    const begin = process.hrtime.bigint();
    for (let i = 0; i < count; i++)
        length += template(values).length;
    const nanoseconds = Number(process.hrtime.bigint() - begin) / count;

    if (length === 0)
        throw new Error(`${file} rendered nothing`);
    console.log(`${file} ${nanoseconds.toFixed(0)}`);
}
