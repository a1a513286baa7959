"""The page's style and its one small script."""

STYLE = """
:root{--side:#3f0e40;--line:#ddd;--soft:#616061;--blue:#1264a3;--green:#007a5a;--red:#e01e5a;--warm:#fef7e6}
*{box-sizing:border-box}
body{margin:0;height:100dvh;display:grid;grid-template-columns:240px minmax(0,1fr);color:#1d1c1d;
font:15px/1.46 Lato,"Helvetica Neue",Arial,sans-serif;overflow:hidden}
body.threaded{grid-template-columns:240px minmax(0,1fr) 380px}
a{color:var(--blue);text-decoration:none}a:hover{text-decoration:underline}
small,.by time,.count,.topic,.hint,.optional{color:var(--soft);font-size:12px}
button,input,select,textarea{font:inherit}
nav{background:var(--side);color:#fff;overflow:auto;padding:12px 0}
nav .team,nav .switch,nav h4{padding:0 16px;margin:0 0 8px}
nav small,nav h4{color:#cfc3cf;font-weight:400;font-size:13px}
nav .switch label{font-size:12px;display:block}nav select{width:100%;margin:2px 0 4px;padding:3px}
nav ul{list-style:none;margin:0 0 14px;padding:0}
nav li a{display:flex;justify-content:space-between;gap:6px;padding:3px 16px;color:#cfc3cf;overflow-wrap:anywhere}
nav li button{border:0;background:none;color:#cfc3cf;padding:3px 16px;width:100%;text-align:left;cursor:pointer}
nav li.here button{background:var(--blue);color:#fff}nav form{margin:0}nav li.unread a{color:#fff;font-weight:700}
nav li.here a{background:var(--blue);color:#fff}
nav li.outside a,nav li.archived a{font-style:italic;opacity:.75}
.badge{background:var(--red);color:#fff;border-radius:9px;padding:0 7px;font-size:12px;font-weight:700;height:18px}
main{display:grid;grid-template-rows:auto auto 1fr auto;min-height:0;min-width:0}
main>#middle{grid-row:3;overflow:auto;padding:12px 0}main>.composer{grid-row:4}main>.notice{grid-row:2}
#head{border-bottom:1px solid var(--line);padding:8px 20px;overflow-wrap:anywhere}
#head h1{font-size:18px;margin:0;display:inline}.count{margin-left:10px}
.back{display:none;font-size:24px;padding-right:10px}
.notice{background:#fdecef;border-left:4px solid var(--red);padding:8px 16px}
aside:empty{display:none}aside{border-left:1px solid var(--line);overflow:auto;min-width:0}
.threadhead{display:flex;justify-content:space-between;padding:12px 20px;border-bottom:1px solid var(--line)}
article{padding:7px 20px;position:relative;overflow-wrap:anywhere}article:hover{background:#f8f8f8}
article.pinned{background:var(--warm)}article.ephemeral{border-left:3px solid var(--line)}
.only,.pin{color:var(--soft);font-size:12px}.by b{font-weight:900}.app{background:#e8e8e8;color:var(--soft);
font-size:10px;font-weight:700;border-radius:2px;padding:1px 3px;vertical-align:2px}
.block{margin:4px 0;max-width:680px}.block.section{display:flex;gap:14px;justify-content:space-between}
.block.section>.body{min-width:0;flex:1}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:6px 14px;margin-top:4px}
.block.context{color:var(--soft);font-size:13px}.block.context>span{margin-right:10px}
.block h3{font-size:18px;font-weight:900;margin:6px 0}hr{border:0;border-top:1px solid var(--line);margin:8px 0}
.block.actions{display:flex;flex-wrap:wrap;gap:8px}.act{display:inline-flex;gap:6px;margin:0}
.unknown{color:var(--red)}
.button{display:inline-block;background:#fff;border:1px solid #bbb;border-radius:4px;padding:4px 12px;font-weight:700;
font-size:14px;color:#1d1c1d;cursor:pointer;max-width:320px}.button:hover{background:#f3f3f3}
.button.primary{background:var(--green);border-color:var(--green);color:#fff}
.button.danger{background:#fff;border-color:var(--red);color:var(--red)}
.dialog .button.danger{background:var(--red);color:#fff}
.mention{background:#e8f5fa;color:var(--blue);border-radius:3px;padding:0 2px}.mention.mine{background:#fff0b3}
code{background:#f6f6f6;border:1px solid var(--line);border-radius:3px;color:#c01343;font-size:12px;padding:1px 3px}
pre{background:#f8f8f8;border:1px solid var(--line);border-radius:4px;padding:8px;margin:4px 0;white-space:pre-wrap;
font-size:12px}blockquote{margin:4px 0;padding-left:12px;border-left:4px solid var(--line)}
.rich_text p{margin:0}.rich_text ul,.rich_text ol{margin:2px 0;padding-left:26px}
.in1{margin-left:24px!important}.in2{margin-left:48px!important}.in3{margin-left:72px!important}
.file{border:1px solid var(--line);border-radius:6px;padding:8px 12px;margin:4px 0;max-width:420px}
.reaction{display:inline-block;background:#f3f3f3;border-radius:12px;padding:1px 8px;margin:4px 4px 0 0;font-size:13px}
.replies{font-size:13px;font-weight:700}.replies.none{visibility:hidden;font-weight:400}
article:hover .replies.none,article:focus-within .replies.none{visibility:visible}
.lock{font-size:12px;color:var(--soft)}.lock summary{cursor:pointer;opacity:.6}
.menu{position:absolute;right:16px;top:4px}.menu summary{cursor:pointer;list-style:none;padding:0 8px}
.menu[open]{background:#fff;border:1px solid var(--line);border-radius:6px;padding:8px;z-index:2}
.menu form{margin:4px 0}.empty{color:var(--soft);padding:20px}.apphome{padding:8px 24px;max-width:760px}
.composer{display:flex;gap:8px;margin:0;padding:10px 20px 16px}
.composer input{flex:1;min-width:0;border:1px solid #bbb;
border-radius:6px;padding:8px}.composer.closed{color:var(--soft)}
.over{position:fixed;inset:0;background:rgba(0,0,0,.55);display:flex;align-items:center;justify-content:center;
z-index:9}
.modal{background:#fff;border-radius:8px;width:min(520px,calc(100vw - 16px));max-height:calc(100dvh - 24px);
display:flex;flex-direction:column}.modal h2{margin:0;padding:16px 24px;font-size:20px}
.modal .blocks{overflow:auto;padding:0 24px 8px;
overflow-wrap:anywhere}.modal .foot{display:flex;justify-content:flex-end;gap:8px;padding:14px 24px;margin:0;
border-top:1px solid var(--line)}.modal .foot form{margin:0}.modal.dialog{width:min(420px,calc(100vw - 16px))}
.input .label{font-weight:700;margin-top:8px}.input input:not([type=checkbox]):not([type=radio]),.input textarea,
.input select{width:100%;border:1px solid #bbb;border-radius:4px;padding:7px}.box{display:block;font-weight:400}
.wrong{color:var(--red);font-size:13px}
@media(max-width:700px){body,body.threaded{grid-template-columns:minmax(0,1fr)}body.opened nav{display:none}
body:not(.opened) main{display:none}body.threaded main{display:none}.back{display:inline}
.fields{grid-template-columns:1fr}
nav li a{padding:9px 16px}article{padding:7px 12px}.button{padding:8px 14px}.replies.none{visibility:visible}}
"""

SCRIPT = """
"use strict";
// Keeps the view fresh: what changed on the server is put in place, region by region, so that typing is not lost.
const last = new Map();
for (const region of document.querySelectorAll("[data-live]")) last.set(region.id, region.innerHTML);
const middle = document.getElementById("middle");
middle.scrollTop = middle.scrollHeight;
async function refresh() {
  if (document.hidden || document.querySelector(".menu[open]")) return;
  const answer = await fetch(location.href, {cache: "no-store"}).catch(() => null);
  if (!answer || !answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const shown = fresh.getElementById(region.id);
    if (!shown || shown.innerHTML === last.get(region.id)) continue;
    const atEnd = region.scrollHeight - region.scrollTop - region.clientHeight < 40;
    region.innerHTML = shown.innerHTML;
    last.set(region.id, shown.innerHTML);
    if (atEnd) region.scrollTop = region.scrollHeight;
  }
}
setInterval(refresh, 1500);
"""
