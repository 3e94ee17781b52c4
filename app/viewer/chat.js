// A suggested question, or the wish to speak of the whole picture again.
element.addEventListener("click", (event) => {
  const question = event.target.closest("[data-question]");
  if (question) trigger("ask", { question: question.dataset.question });
  if (event.target.closest("[data-clear-region]")) trigger("clear", {});
});
