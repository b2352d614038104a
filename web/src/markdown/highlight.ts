import hljs from 'highlight.js/lib/core'
import bash from 'highlight.js/lib/languages/bash'
import cpp from 'highlight.js/lib/languages/cpp'
import csharp from 'highlight.js/lib/languages/csharp'
import css from 'highlight.js/lib/languages/css'
import diff from 'highlight.js/lib/languages/diff'
import go from 'highlight.js/lib/languages/go'
import ini from 'highlight.js/lib/languages/ini'
import java from 'highlight.js/lib/languages/java'
import javascript from 'highlight.js/lib/languages/javascript'
import json from 'highlight.js/lib/languages/json'
import php from 'highlight.js/lib/languages/php'
import python from 'highlight.js/lib/languages/python'
import rust from 'highlight.js/lib/languages/rust'
import sql from 'highlight.js/lib/languages/sql'
import typescript from 'highlight.js/lib/languages/typescript'
import xml from 'highlight.js/lib/languages/xml'
import yaml from 'highlight.js/lib/languages/yaml'
import './highlight.css'

const languages = { bash, cpp, csharp, css, diff, go, ini, java, javascript, json, php, python, rust, sql, typescript, xml, yaml }
for (const [name, language] of Object.entries(languages))
  hljs.registerLanguage(name, language)

/** Colours by <span class>; highlight.js escapes what it is given. A language that is not known stays plain. */
export function colour(code: HTMLElement, language: string): void {
  code.classList.add('set')
  if (!hljs.getLanguage(language))
    return
  const template = document.createElement('template')
  template.innerHTML = hljs.highlight(code.textContent, { language, ignoreIllegals: true }).value
  code.replaceChildren(template.content)
}
