// Mermaid writes styles into its page, which the policy of the chat refuses: it works here, in a sandboxed document of its
// own, and hands a picture back. It gets a text and gives a text; nothing else passes.
'use strict'

var FONT = '-apple-system, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Zen Hei", sans-serif'
var count = 0

window.addEventListener('message', function (event) {
  if (event.source !== window.parent)
    return
  var id = event.data.id
  window.mermaid.initialize({
    startOnLoad: false,
    securityLevel: 'strict',
    suppressErrorRendering: true,
    theme: event.data.dark ? 'dark' : 'neutral',
    fontFamily: FONT,
    htmlLabels: false,
    flowchart: { htmlLabels: false, useMaxWidth: false },
    sequence: { useMaxWidth: false },
  })
  window.mermaid.render('drawing' + ++count, event.data.text).then(function (result) {
    window.parent.postMessage({ id: id, svg: result.svg }, '*')
  }, function () {
    window.parent.postMessage({ id: id, svg: '' }, '*')
  })
})
window.parent.postMessage({ ready: true }, '*')
